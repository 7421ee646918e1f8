import { EruError, parseSize } from '@eru/kit';
import { z } from 'zod';

import { address, duration, level, levels, stale, text, used, type Key } from './config-key.ts';

const texts = z.array(text.min(1));
/** A list; one address as text, as old files have it. */
const addresses = z.union([texts, text.min(1).transform((one) => one.split(',').map((part) => part.trim()))]);
/** Whole seconds; 0 is the default, as the original has it. */
const seconds = z.int().min(0);
/** `yes` and `no` are what the original's flag takes. */
const switched = z.union([z.boolean(), z.enum(['yes', 'no']).transform((word) => word === 'yes')]);

/** Bytes, or a number with K, M, G. */
const size = z.union([z.int().min(0), text]).transform((given, context): number => {
  if (typeof given === 'number') return given;
  try {
    return parseSize(given);
  } catch (error) {
    context.addIssue(EruError.from(error).message);
    return z.NEVER;
  }
});

const patterns = texts.transform((given, context): RegExp[] => {
  try {
    return given.map((pattern) => new RegExp(pattern));
  } catch (error) {
    context.addIssue((error as Error).message);
    return z.NEVER;
  }
});

/** Every key of the original's `agent.yaml` (reference/agent.md section 3), those of old files, and ours. */
export const agentKeys = {
  pid: used(text, 'file that gets the process id, and is removed at the end; none without it'),
  core: used(
    addresses,
    'addresses of cores, in order of preference; eru:///HOST:PORT asks that core for the others (--eru); without them the data folder says',
  ),
  heartbeat_interval: used(z.int(), "seconds between heartbeats; the node's status lives three of them; 0 = none"),
  check_only_mine: used(
    switched,
    'false: look at all workloads of Eru on the engine, whatever node their label names; default true',
  ),
  store: used(z.enum(['grpc', 'mocks']), 'grpc; mocks: reports go to the log, and to no core'),
  runtime: used(
    z.enum(['node', 'docker', 'yavirt', 'mocks']),
    'node: the node daemon on this machine (--socket), whatever engines it has, the default; docker: a plain docker daemon; mocks: a simulated machine',
  ),
  'auth.username': used(text, 'credential for core'),
  'auth.password': used(text, 'its password'),
  'docker.endpoint': used(text, 'unix:///… or tcp://… of a docker daemon; default unix:///var/run/docker.sock'),
  'yavirt.endpoint': used(text, 'grpc://HOST:PORT of a yavirt daemon'),
  'yavirt.skip_guest_report_regexps': used(patterns, 'workloads whose id matches one of these are left alone'),
  'metrics.step': used(seconds, 'seconds between two looks at what workloads use; default 10'),
  'metrics.transfers': used(texts, 'statsd targets, HOST:PORT; none by default'),
  'api.addr': used(address, 'where the agent serves HTTP, docs/agent.md; :PORT is loopback; none by default'),
  'log.forwards': used(texts, 'where logs go: tcp://HOST:PORT, udp://HOST:PORT, journal://, __discard__'),
  'log.stdout': used(switched, "every line of a workload also into the agent's own log"),
  'log.queue': used(size, 'ours: bytes that wait in memory for one target; default 4M'),
  'log.spool': used(size, 'ours: bytes that wait on disk for one target; default none'),
  'log.level': used(level, `ours: one of ${Object.keys(levels).join(', ')}`),
  'healthcheck.interval': used(seconds, 'seconds between two looks at all workloads; default 60'),
  'healthcheck.timeout': used(seconds, 'seconds for one probe; default 10'),
  'healthcheck.cache_ttl': used(seconds, 'seconds after which an unchanged status is reported again; default 300'),
  global_connection_timeout: used(duration, 'limit of each call to core and engine; default 5s'),
  'register.pod': used(text, 'ours: add the node to this pod when core does not know it (--register)'),
  'register.endpoint': used(text, "ours: where core reaches the node's engine; default: where the agent does"),
  'register.labels': used(z.record(text, text), 'ours: labels of the node that is added'),
  health_check_interval: stale('write healthcheck.interval'),
  health_check_timeout: stale('write healthcheck.timeout'),
  'healthcheck.enable_selfmon': stale('core does it'),
  'healthcheck.status_ttl': stale('statuses do not expire'),
  ha_keepalive_interval: stale('core does it'),
  kv: stale('the agent needs no store'),
  etcd: stale('the agent needs no store'),
} satisfies Record<string, Key>;

export type AgentKey = keyof typeof agentKeys;

/** What is given, by key; a key that is empty counts as not given. */
export type AgentConfig = { readonly [K in AgentKey]?: z.output<(typeof agentKeys)[K]['type']> | undefined };

export const agentKeyNames = Object.keys(agentKeys) as AgentKey[];
