import { z } from 'zod';

import { address, count, duration, level, levels, stale, text, unused, used, type Key } from './config-key.ts';

const scm = z
  .string()
  .transform((name) => name.toLowerCase())
  .pipe(z.enum(['git', 'github', 'gitlab', '']))
  .transform((name) => (name === '' ? undefined : name));
const credentials = z.record(z.string(), z.strictObject({ username: z.string(), password: z.string() }));
const reload = { reload: true };
const journal = 'operations are journalled in the store, where any core finds them';
const redis = 'only etcd and the embedded store are served';

/** Every key of the original's `core.yaml` (reference/core-behaviour.md section 1), and those its sample carries besides. */
export const coreKeys = {
  bind: used(address, 'where core listens, HOST:PORT; :PORT and a bare PORT mean all interfaces (--listen)'),
  lock_timeout: used(duration, "how long another operation's claim is waited for", reload),
  global_timeout: used(duration, 'how long resource plugins may take over one question, all of them together', reload),
  connection_timeout: used(duration, "how long a node's engine may take to say what it is", reload),
  ha_keepalive_interval: unused(
    duration,
    'the eldest core leads for as long as its lease lives: see grpc.service_heartbeat_interval',
  ),
  statsd: unused(text, 'nothing is pushed; the same figures are at /metrics, which a Prometheus exporter can pass on'),
  profile: used(
    text,
    'one more address that serves /metrics, without a credential as the original; there is no /debug/pprof',
  ),
  cert_path: unused(text, 'certificates of nodes are kept in the store and in memory, never in files'),
  max_concurrency: unused(z.int(), 'each operation bounds its own calls; there is no pool to size'),
  store: used(z.enum(['etcd', 'redis']), 'etcd; redis is refused'),
  sentry_dsn: unused(text, 'errors go to the log, as JSON lines'),
  probe_target: used(text, 'how the address is found that clients are told when core listens on all interfaces'),
  wal_file: unused(text, journal),
  wal_open_timeout: unused(duration, journal),
  'auth.username': used(text, 'the one credential of all clients (--no-auth ignores it)', reload),
  'auth.password': used(text, 'its password', reload),
  'grpc.max_concurrent_streams': used(count, 'calls of one connection at the same time'),
  'grpc.max_recv_msg_size': used(count, 'largest request, in bytes'),
  'grpc.max_calls_per_second': used(
    z.int().min(0),
    'of one caller on one address, in the long run; 0 = no limit, default 1000; the original has no such key',
    reload,
  ),
  'grpc.service_discovery_interval': unused(duration, 'watchers of services are told at once of every change'),
  'grpc.service_heartbeat_interval': used(duration, "life of this core's lease: how soon others finish what it leaves"),
  'git.scm_type': used(scm, 'github, gitlab, or git for any other; without it no images are built'),
  'git.private_key': used(text, 'file: the key for ssh; without it what ssh finds by itself'),
  'git.token': used(
    text,
    'for downloads of artifacts, in the header of github or gitlab; never in the clear beyond this machine',
  ),
  'git.clone_timeout': used(duration, 'limit of a clone and checkout'),
  'etcd.machines': used(
    z.array(text.min(1)).min(1),
    'members of the etcd, URLs or HOST:PORT; without them the embedded store (--store)',
  ),
  'etcd.prefix': used(text.min(1), 'in front of all keys; must not be that of a core of the original'),
  'etcd.lock_prefix': unused(text, 'nothing is locked'),
  'etcd.ca': used(text, 'file: the authority of the etcd; any of the three files, or an https member, means TLS'),
  'etcd.key': used(text, 'file: our key'),
  'etcd.cert': used(text, 'file: our certificate'),
  'etcd.auth.username': used(text, 'user of the etcd'),
  'etcd.auth.password': used(text, 'its password'),
  'redis.addr': unused(text, redis),
  'redis.lock_prefix': unused(text, redis),
  'redis.db': unused(z.int(), redis),
  'docker.version': unused(z.union([text, z.number()]), 'the version of the API is agreed with each daemon'),
  'docker.network_mode': used(text.min(1), 'network of containers that name none; default bridge'),
  'docker.use_local_dns': used(z.boolean(), "the node's own address as name server of containers that name none"),
  'docker.log.type': used(text, "log driver of containers that name none, with or without debug; default the daemon's"),
  'docker.log.config': used(z.record(z.string(), text), 'its options'),
  'docker.hub': used(
    text,
    'the registry that built images are pushed to; without it they stay on the node that built them',
  ),
  'docker.namespace': used(text, 'between hub and name of an image'),
  'docker.build_pod': used(text, 'the pod whose nodes build images'),
  'docker.auths': used(credentials, 'registry -> username and password, for pulls and pushes'),
  'virt.version': unused(text, 'the original does not use it either'),
  'systemd.runtime': unused(text, 'processes are run by the node daemon, which chooses its own runtime'),
  'scheduler.maxshare': used(z.int().min(-1), 'cores of a node that may be broken into fragments; -1 = all'),
  'scheduler.sharebase': used(count, 'pieces of one core'),
  'scheduler.max_deploy_count': used(count, 'bound of a capacity that nothing else bounds'),
  'resource_plugin.dir': used(text, 'folder of resource plugins, docs/kinds.md (--plugin-dir)'),
  'resource_plugin.call_timeout': used(duration, 'limit of one call of a plugin'),
  'resource_plugin.whitelist': used(
    z.array(text),
    'the plugins that are asked about nodes; plans always ask all',
    reload,
  ),
  'log.level': used(level, `one of ${Object.keys(levels).join(', ')}`, reload),
  'log.use_json': unused(z.boolean(), 'the log is always JSON lines'),
  'log.filename': used(text, 'file of the log; SIGHUP opens it anew, so that logrotate may move it'),
  'log.maxsize': unused(z.number(), 'let logrotate do it: SIGHUP opens the file anew'),
  'log.max_age': unused(z.number(), 'let logrotate do it: SIGHUP opens the file anew'),
  'log.max_backups': unused(z.number(), 'let logrotate do it: SIGHUP opens the file anew'),
  log_level: stale('write log.level'),
  'docker.cert_path': stale('write cert_path'),
  'docker.local_dns': stale('write docker.use_local_dns'),
  'docker.auth': stale('write docker.auths'),
} satisfies Record<string, Key>;

export type CoreKey = keyof typeof coreKeys;

/** What is given, by key; a key that is empty counts as not given. */
export type CoreConfig = { readonly [K in CoreKey]?: z.output<(typeof coreKeys)[K]['type']> | undefined };

export const coreKeyNames = Object.keys(coreKeys) as CoreKey[];

export function describe(key: CoreKey): Key {
  return coreKeys[key];
}
