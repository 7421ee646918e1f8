import { EruError, invalid } from '@eru/kit';
import net from 'node:net';
import { z } from 'zod';

import { wantedAddresses } from '../addresses.ts';
import type { WorkloadSpec } from '../engine.ts';
import { bindsOf, storageBeyondVolumes, type Bind } from '../storage-params.ts';
import type { Daemon } from './http-client.ts';
import { podmansNetwork } from './podman.ts';
import { resourcesOf } from './resources.ts';
import type { CreateBody, DockerHostConfig, DockerUlimit, EndpointConfig } from './wire-types.ts';

/** What a node's operator settles for all its containers (core.yaml, `docker`). */
export interface DockerSettings {
  /** Of containers that name no network. */
  networkMode: string;
  /** The node's address as the name server of containers that name none. */
  useLocalDns: boolean;
  /** Log driver of containers that name none; empty = the daemon's. */
  log: { type: string; config: Readonly<Record<string, string>> };
}

export const defaultSettings: DockerSettings = {
  networkMode: 'bridge',
  useLocalDns: false,
  log: { type: '', config: {} },
};

/** What is known of the node and of other workloads when a container is made. */
export interface Surroundings {
  settings: DockerSettings;
  /** The node's address; 127.0.0.1 when the daemon is on this machine. */
  host: string;
  daemon: Daemon;
  /** Of workloads that ask for none. */
  ulimits: readonly DockerUlimit[];
  /** The daemon's own log driver. */
  logDriver: string;
  /** Name of a published port -> the port chosen. */
  ports: Readonly<Record<string, number>>;
}

/** Label of the ports that were chosen for names, as JSON. */
export const portsLabel = 'eru.ports';

/** `http` -> `ERU_PORT_HTTP`. */
function portVariable(name: string): string {
  return `ERU_PORT_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
}

/** The body of the create call for a workload (reference/core-behaviour.md section 5.3). @throws EruError `invalid`, `unsupported` */
export function createBody(spec: WorkloadSpec, surroundings: Surroundings): CreateBody {
  const { ports } = surroundings;
  const mode = networkMode(spec, surroundings.settings);
  const env = envOf(spec, surroundings);
  const binds = bindsOf({ ...spec, env });
  const published = mode === 'host' || mode === 'none' ? [] : publishedPorts(spec, ports);
  return {
    Image: spec.image,
    ...(spec.command.length > 0 && { Cmd: [...spec.command] }),
    Env: env,
    User: spec.user,
    WorkingDir: spec.dir,
    Labels: { ...spec.labels, ...(Object.keys(ports).length > 0 && { [portsLabel]: JSON.stringify(ports) }) },
    OpenStdin: spec.stdin,
    Tty: spec.stdin,
    ...(spec.stopSignal !== '' && { StopSignal: spec.stopSignal }),
    Volumes: Object.fromEntries(binds.map(({ target }) => [target, {}])),
    ExposedPorts: Object.fromEntries(published.map((port) => [`${port}/tcp`, {}])),
    NetworkDisabled: false,
    HostConfig: hostConfig(spec, surroundings, mode, published, binds),
    NetworkingConfig: { EndpointsConfig: endpointsOf(spec, mode, surroundings.daemon) },
  };
}

function hostConfig(
  spec: WorkloadSpec,
  surroundings: Surroundings,
  mode: string,
  published: readonly number[],
  binds: readonly Bind[],
): DockerHostConfig {
  const { settings, host, daemon } = surroundings;
  const raw = rawArgsOf(spec.rawArgs);
  const ownNetwork = mode !== 'host';
  const localDns = settings.useLocalDns && net.isIP(host) !== 0 && !host.startsWith('127.') ? [host] : [];
  const size = storageBeyondVolumes(spec.engineParams);
  return {
    ...resourcesOf(spec.engineParams, spec.pids),
    // Podman has a limit of its own for those that name none.
    ...(daemon === 'podman' && { PidsLimit: spec.pids }),
    Binds: binds.map(({ source, target, mode }) => `${source}:${target}:${mode}`),
    Dns: ownNetwork ? (spec.dns.length > 0 ? [...spec.dns] : localDns) : [],
    ExtraHosts: [...spec.extraHosts],
    Sysctls: ownNetwork ? { ...spec.sysctls } : {},
    NetworkMode: mode,
    PortBindings: Object.fromEntries(published.map((port) => [`${port}/tcp`, [{ HostPort: String(port) }]])),
    RestartPolicy: { Name: spec.restart.type, MaximumRetryCount: spec.restart.retries },
    LogConfig: logOf(spec, surroundings),
    Privileged: spec.privileged,
    CapAdd: [...new Set([...(spec.privileged ? ['SYS_ADMIN'] : []), ...raw.cap_add])],
    CapDrop: raw.cap_drop,
    PidMode: raw.pid_mod,
    StorageOpt: { ...(size > 0 && { size: String(size) }), ...raw.storage_opt },
    ...(raw.runtime !== '' && { Runtime: raw.runtime }),
    Ulimits: ulimitsOf(spec, raw.ulimits, surroundings),
  };
}

function ulimitsOf(
  spec: WorkloadSpec,
  raw: readonly DockerUlimit[],
  { daemon, ulimits }: Surroundings,
): DockerUlimit[] {
  const own = Object.entries(spec.ulimits).map(([Name, { soft, hard }]) => ({ Name, Soft: soft, Hard: hard }));
  const asked = [...own, ...raw.filter(({ Name }) => !(Name in spec.ulimits))];
  if (daemon === 'docker' && asked.length > 0) return asked;
  // Podman sets each that is not named to the most that a machine can have.
  return [...asked, ...ulimits.filter(({ Name }) => !asked.some((one) => one.Name === Name))];
}

/** The first network by name is the container's mode; `host` and `none` stand alone. */
function networkMode({ networks }: WorkloadSpec, settings: DockerSettings): string {
  const names = Object.keys(networks).toSorted();
  const alone = names.find((name) => name === 'host' || name === 'none');
  if (alone !== undefined && names.length > 1)
    throw invalid('networks', names.join(', '), `${alone} cannot be combined with other networks`);
  return names[0] ?? settings.networkMode;
}

/**
 * Wanted addresses. Only the network that is the mode can be given at create (older daemons take one); the others are
 * connected afterwards.
 */
function endpointsOf({ networks }: WorkloadSpec, mode: string, daemon: Daemon): Record<string, EndpointConfig> {
  // Of a replaced workload's state: `host` with the host's own address.
  const wanted = Object.entries(networks).flatMap(([name, text]) =>
    name === 'host' ? [] : [{ name, ...wantedAddresses(name, text) }],
  );
  const first = wanted.find(({ name }) => name === mode);
  const name = daemon === 'podman' ? podmansNetwork(mode) : mode;
  return first === undefined || first.ipv4 + first.ipv6 === '' ? {} : { [name]: { IPAMConfig: ipamConfig(first) } };
}

/** Docker's words for wanted addresses. */
export function ipamConfig({ ipv4, ipv6 }: { ipv4: string; ipv6: string }): NonNullable<EndpointConfig['IPAMConfig']> {
  return { ...(ipv4 !== '' && { IPv4Address: ipv4 }), ...(ipv6 !== '' && { IPv6Address: ipv6 }) };
}

/** Networks that are joined after the container is made, in name order, with what is wanted there. */
export function furtherNetworks(spec: WorkloadSpec): { network: string; ipv4: string; ipv6: string }[] {
  const [, ...further] = Object.entries(spec.networks).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return further.map(([network, text]) => ({ network, ...wantedAddresses(network, text) }));
}

/** Each on the same port of the host, TCP. */
function publishedPorts({ publish }: WorkloadSpec, ports: Readonly<Record<string, number>>): number[] {
  return [...new Set(publish.map((entry) => ports[entry] ?? Number(entry)))];
}

/** Names among `publish` that want a port. @throws EruError `invalid` */
export function portNames(publish: readonly string[]): string[] {
  return publish.filter((entry) => {
    const port = Number(entry);
    const number = /^\d+$/.test(entry);
    if (number ? port < 1 || port > 65_535 : !/^[a-z][a-z0-9_-]{0,31}$/i.test(entry))
      throw invalid('publish', entry, 'give a port from 1 to 65535, or a name such as http for a free one');
    return !number;
  });
}

function envOf({ env }: WorkloadSpec, { host, ports }: Surroundings): string[] {
  const node = host === '127.0.0.1' ? '' : host;
  const told = Object.entries(ports).map(([name, port]) => `${portVariable(name)}=${port}`);
  return [...env, `ERU_NODE_IP=${node}`, ...told];
}

/** Never does a container wait for its log; a tag where the driver knows one. Podman's drivers know none of docker's options. */
function logOf(
  { name, log }: WorkloadSpec,
  { settings, daemon, logDriver }: Surroundings,
): NonNullable<DockerHostConfig['LogConfig']> {
  const { type, config } = log.type === '' ? settings.log : log;
  if (daemon === 'podman') return { Type: type, Config: config };
  const driver = type === '' ? logDriver : type;
  if (driver === 'none') return { Type: type, Config: {} };
  const tag = driver === 'local' ? {} : { tag: `${name} {{.ID}}` };
  return { Type: type, Config: { mode: 'non-blocking', 'max-buffer-size': '4m', ...tag, ...config } };
}

const rawArguments = z.strictObject({
  pid_mod: z.string().default(''),
  storage_opt: z.record(z.string(), z.string()).default({}),
  cap_add: z.array(z.string()).default([]),
  cap_drop: z.array(z.string()).default([]),
  ulimits: z.array(z.strictObject({ Name: z.string(), Soft: z.int(), Hard: z.int() })).default([]),
  runtime: z.string().default(''),
});

/** The JSON that only docker understands. */
function rawArgsOf(bytes: Uint8Array): z.infer<typeof rawArguments> {
  if (bytes.length === 0) return rawArguments.parse({});
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString());
  } catch (cause) {
    throw new EruError('invalid', 'raw_args: no JSON; write an object such as {"cap_add": ["NET_ADMIN"]}', { cause });
  }
  const read = rawArguments.safeParse(json);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw new EruError('invalid', `raw_args: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`);
  }
  return read.data;
}

/** Refuses what no container can be. @throws EruError `invalid`, `unsupported` */
export function checkSpec(spec: WorkloadSpec): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]+$/.test(spec.name))
    throw invalid('name', spec.name, 'two characters at least: a letter or digit, then letters, digits, _ . -');
  if (spec.image === '') throw invalid('image', '', 'a container needs an image');
  if (spec.root.type === 'folder' || spec.root.writable)
    throw new EruError('unsupported', 'process.root: a container has the files of its image');
  const nameless = spec.env.find((variable) => !/^[^=\0]+=[^\0]*$/s.test(variable));
  if (nameless !== undefined) throw invalid('env', nameless, 'write NAME=value');
}
