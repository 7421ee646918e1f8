import { EruError, type LogLevel } from '@eru/kit';
import type { BuildSettings, CoreOptions } from '@eru/core';
import type { DockerSettings } from '@eru/engines';
import type { PluginSettings } from '@eru/plugins';
import type { Settings } from '@eru/scheduler';
import type { EtcdStoreOptions } from '@eru/store';
import { readFile } from 'node:fs/promises';

import type { CoreConfig } from './core-keys.ts';
import type { Credential } from '../data-folder.ts';
import { isLocal } from './serving-flags.ts';

/** What a configuration says of how core works, besides its store and its credential. */
export interface CoreSettings {
  plugins?: PluginSettings;
  scheduler?: Partial<Settings>;
  core?: Pick<CoreOptions, 'ttlMs' | 'limits' | 'registries'>;
  builds?: BuildSettings;
  serving?: { maxReceiveBytes?: number; maxStreams?: number };
  callsPerSecond?: number;
  /** What is settled for all containers. */
  docker?: Partial<DockerSettings>;
  /** One more address for the metrics. */
  profile?: string;
  /** `HOST:PORT` towards which the address lies under which others reach this machine. */
  probeTarget?: string;
}

export function settingsOf(config: CoreConfig, pluginFolder: string | undefined): CoreSettings {
  const dir = pluginFolder ?? config['resource_plugin.dir'] ?? '';
  return {
    plugins: given({
      dir,
      callTimeoutMs: config['resource_plugin.call_timeout'],
      whitelist: config['resource_plugin.whitelist'],
    }),
    scheduler: given({
      shareBase: config['scheduler.sharebase'],
      maxShare: config['scheduler.maxshare'],
      maxDeployCount: config['scheduler.max_deploy_count'],
    }),
    core: given({
      ttlMs: config['grpc.service_heartbeat_interval'],
      limits: limitsOf(config),
      registries: config['docker.auths'],
    }),
    builds: buildsOf(config),
    serving: given({
      maxReceiveBytes: config['grpc.max_recv_msg_size'],
      maxStreams: config['grpc.max_concurrent_streams'],
    }),
    docker: given({
      networkMode: config['docker.network_mode'],
      useLocalDns: config['docker.use_local_dns'],
      log: logOf(config),
    }),
    ...given({
      profile: config.profile === '' ? undefined : config.profile,
      probeTarget: config.probe_target,
      callsPerSecond: config['grpc.max_calls_per_second'],
    }),
  };
}

function buildsOf(config: CoreConfig): BuildSettings {
  return {
    ...given({
      scm: config['git.scm_type'],
      privateKey: config['git.private_key'] === '' ? undefined : config['git.private_key'],
      token: config['git.token'],
    }),
    cloneTimeoutMs: config['git.clone_timeout'] ?? 300_000,
    home: { hub: config['docker.hub'] ?? '', namespace: config['docker.namespace'] ?? '' },
    pod: config['docker.build_pod'] ?? '',
  };
}

function logOf(config: CoreConfig): DockerSettings['log'] | undefined {
  const type = config['docker.log.type'] ?? '';
  return type === '' ? undefined : { type, config: config['docker.log.config'] ?? {} };
}

/** What a running core may change. */
export function limitsOf(config: CoreConfig): NonNullable<CoreOptions['limits']> {
  return given({
    lockTimeoutMs: config.lock_timeout,
    externalMs: config.global_timeout,
    connectMs: config.connection_timeout,
  });
}

export function levelOf(config: CoreConfig): LogLevel {
  return config['log.level'] ?? 'info';
}

/** @throws EruError `invalid` for one half of it */
export function credentialIn(config: CoreConfig): Credential | undefined {
  const [username = '', password = ''] = [config['auth.username'], config['auth.password']];
  if (username === '' && password === '') return undefined;
  if (username === '' || password === '')
    throw new EruError('invalid', 'auth.username and auth.password go together; give both, or neither');
  return { username, password };
}

/** Without a credential core serves this machine only, unless somebody has said --no-auth. */
export function refuseOpenPort(listen: string, file: string): void {
  if (isLocal(listen)) return;
  throw new EruError(
    'invalid',
    `${file}: bind: ${listen} is reached from other machines, and there is no auth: whoever reaches it runs commands as root on every node. Give auth.username and auth.password, bind 127.0.0.1:${/\d+$/.exec(listen)?.[0] ?? ''}, or say --no-auth`,
  );
}

/** The etcd of a configuration; undefined without one. @throws EruError `invalid` for members or files that cannot be read */
export async function etcdOf(
  config: CoreConfig,
): Promise<Pick<EtcdStoreOptions, 'endpoints' | 'prefix' | 'credential' | 'tls'> | undefined> {
  const members = config['etcd.machines'];
  if (members === undefined) return undefined;
  const matches = members.map((member) => {
    const match = /^(?:(https?):\/\/)?([^/\s]+:\d+)\/?$/.exec(member);
    if (match?.[2] === undefined)
      throw new EruError('invalid', `etcd.machines: ${JSON.stringify(member)} is not allowed; write http://HOST:2379`);
    return { secure: match[1] === 'https', endpoint: match[2] };
  });
  const tls = await filesOf(config);
  const [username = '', password = ''] = [config['etcd.auth.username'], config['etcd.auth.password']];
  return {
    endpoints: matches.map(({ endpoint }) => endpoint),
    prefix: `/${(config['etcd.prefix'] ?? '/eru').replaceAll(/^\/+|\/+$/g, '')}/`,
    ...(username !== '' && { credential: { username, password } }),
    ...((tls !== undefined || matches.some(({ secure }) => secure)) && { tls: tls ?? {} }),
  };
}

async function filesOf(config: CoreConfig): Promise<{ ca?: string; cert?: string; key?: string } | undefined> {
  const names = (['ca', 'cert', 'key'] as const).filter((name) => (config[`etcd.${name}`] ?? '') !== '');
  if (names.length === 0) return undefined;
  const texts = names.map(async (name) => {
    const file = config[`etcd.${name}`] ?? '';
    try {
      return [name, await readFile(file, 'utf8')] as const;
    } catch (cause) {
      throw new EruError('invalid', `etcd.${name}: ${file} cannot be read: ${EruError.from(cause).message}`, { cause });
    }
  });
  return Object.fromEntries(await Promise.all(texts));
}

/** Without what is not given. */
function given<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
