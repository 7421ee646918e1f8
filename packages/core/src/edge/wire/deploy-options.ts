import { EruError, invalid, toSafeNumber } from '@eru/kit';
import { type eru, pb } from '@eru/contract';
import { engineNames, engineOf, labelNames, type WorkloadSpec } from '@eru/engines';
import type { Strategy } from '@eru/scheduler';

import type { CreateRequest } from '../../operations/create.ts';
import { splitCommand } from '../../operations/hooks.ts';
import { checkWorkloadNames } from '../../names.ts';
import type { HookRecord } from '../../state/records.ts';
import type { FileContent } from '../../operations/spec-of.ts';
import { checkAbsolute, checkEnv, checkHealthPort, checkImage, checkPublish, readRestart } from './deploy-checks.ts';

/** Which nodes a deploy may use (reference/core-rpc.md section 4.8). */
export interface NodeChoice {
  pod: string;
  /** When not empty nothing else filters. */
  includes: readonly string[];
  excludes: readonly string[];
  labels: Readonly<Record<string, string>>;
  /** Only nodes that have this engine; undefined: whatever they have. */
  engine: string | undefined;
}

/** A request with the parts that every reader of DeployOptions needs. */
export interface Placement {
  app: string;
  entrypoint: string;
  /** `undefined` for a number that this server does not know. */
  strategy: Strategy | undefined;
  count: number;
  nodesLimit: number;
  nodes: NodeChoice;
  labels: Readonly<Record<string, string>>;
}

export type DeployRequest = Omit<CreateRequest, 'candidates' | 'strategy' | 'resources'> &
  Pick<Placement, 'strategy' | 'nodes'>;

/** More instances in one request than this are a slip. */
const mostInstances = 100_000;

/** The first stage, "T": enough for CalculateCapacity. @throws EruError `invalid` */
export function readPlacement(
  options: pb.DeployOptions | undefined,
): Placement & { options: pb.DeployOptions; entry: pb.EntrypointOptions } {
  if (options === undefined) throw new EruError('invalid', 'no deploy options');
  const { entrypoint: entry, nodeFilter } = options;
  if (entry === undefined || entry.name === '') throw new EruError('invalid', 'no entry in spec');
  const nodes: NodeChoice = {
    pod: options.podname,
    includes: nodeFilter?.includes ?? options.nodenames,
    excludes: nodeFilter?.excludes ?? [],
    labels: nodeFilter?.labels ?? options.nodelabels,
    engine: options.image === '' ? undefined : 'docker',
  };
  return {
    options,
    entry,
    app: options.name,
    entrypoint: entry.name,
    strategy: strategies[options.deployStrategy],
    count: options.count,
    nodesLimit: options.nodesLimit,
    nodes,
    labels: options.labels,
  };
}

/**
 * All of a deploy, checked in the contract's order (section 5), then what only we check. `process` present or `anyEngine`:
 * an image is not needed, because engines of processes have none. @throws EruError `invalid`, `unsupported`
 */
export function readDeploy(
  wire: pb.DeployOptions | undefined,
  {
    process,
    engine = '',
    anyEngine,
    replacing = false,
  }: { process?: eru.ProcessOptions | undefined; engine?: string; anyEngine: boolean; replacing?: boolean },
): DeployRequest {
  const { options, entry, ...placement } = readPlacement(wire);
  if (replacing) checkReplacing(options, entry);
  else checkOriginal(options, entry, anyEngine);
  checkWorkloadNames(placement.app, placement.entrypoint);
  if (options.count > mostInstances)
    throw invalid('count', options.count, `the most in one request are ${mostInstances}`);
  if (options.nodesLimit < 0) throw invalid('nodes_limit', options.nodesLimit, 'write 0 for none, or more');
  checkEnv('env', options.env);
  for (const label of [labelNames.operation, labelNames.cluster]) {
    if (label in options.labels) throw invalid('labels', label, 'this label is set by core');
  }
  const template = {
    ...templateOf(options, entry, process, replacing && !anyEngine),
    engine: engineIn(engine, options.image, replacing),
  };
  return {
    ...placement,
    nodes: { ...placement.nodes, engine: engineOf(template) },
    pod: options.podname,
    template,
    env: options.env,
    meta: metaOf(entry),
    hook: hookOf(entry.hook),
    afterCreate: options.afterCreate,
    ignoreHook: options.ignoreHook,
    ignorePull: options.ignorePull,
    files: filesOf(options),
  };
}

/** Without mode and owner a file is executable by all (section 4.12). */
export function filesOf({
  data,
  modes,
  owners,
}: Pick<pb.DeployOptions, 'data' | 'modes' | 'owners'>): Map<string, FileContent> {
  return new Map(
    Object.entries(data).map(([path, contents]) => {
      checkAbsolute('data', path);
      const mode = toSafeNumber(modes[path]?.mode ?? 0n, 'modes');
      const { uid = 0, gid = 0 } = owners[path] ?? {};
      if (mode < 0 || mode > 0o7777) throw invalid('modes', mode, 'write permission bits, from 0 to 0o7777');
      if (uid < 0 || gid < 0) throw invalid('owners', `${uid}:${gid}`, 'write numbers from 0');
      return [path, { contents, mode: mode === 0 && uid === 0 && gid === 0 ? 0o755 : mode, uid, gid }];
    }),
  );
}

/** Stages V and E, in their order. */
function checkOriginal(
  { name, podname, image, count }: pb.DeployOptions,
  entry: pb.EntrypointOptions,
  anyEngine: boolean,
): void {
  if (name === '') throw new EruError('invalid', 'app name is empty');
  if (podname === '') throw new EruError('invalid', 'pod name is empty');
  if (image === '' && !anyEngine) throw new EruError('invalid', 'image is empty');
  if (count === 0) throw new EruError('invalid', 'count is 0');
  if (entry.name.includes('_')) throw new EruError('invalid', "entrypoint name has '_' character");
  if (count < 0) throw new EruError('invalid', `count: ${count}: invalid deploy count`);
}

/** Of a replacement: pod and count come from the old one, and the image is looked at when its turn comes. */
function checkReplacing({ name }: pb.DeployOptions, entry: pb.EntrypointOptions): void {
  if (name === '') throw new EruError('invalid', 'app name is empty');
  if (entry.name.includes('_')) throw new EruError('invalid', "entrypoint name has '_' character");
}

function templateOf(
  options: pb.DeployOptions,
  entry: pb.EntrypointOptions,
  process: eru.ProcessOptions | undefined,
  imageLater: boolean,
): Omit<CreateRequest['template'], 'engine'> {
  if (options.image !== '') checkImage(options.image);
  checkPublish(entry.publish);
  if (entry.dir !== '') checkAbsolute('entrypoint.dir', entry.dir);
  const command = commandOf(entry, options.extraArgs);
  if (options.image === '' && command.length === 0 && !imageLater)
    throw new EruError('invalid', 'entrypoint.commands: a process needs a command', {
      details: { field: 'entrypoint.commands' },
    });
  return {
    image: options.image,
    root: rootOf(process?.root ?? ''),
    command,
    dir: entry.dir,
    user: options.user,
    privileged: entry.privileged,
    mounts: (process?.mounts ?? []).map(mountOf),
    ulimits: Object.fromEntries(
      Object.entries(process?.ulimits ?? {}).map(([name, limit]) => [name, ulimitOf(name, limit)]),
    ),
    pids: pidsOf(process?.pids ?? 0),
    restart: readRestart(entry.restart),
    stopSignal: process?.stopSignal ?? '',
    networks: options.networks,
    publish: entry.publish,
    dns: options.dns,
    extraHosts: options.extraHosts,
    sysctls: entry.sysctls,
    log:
      entry.log === undefined || entry.log.type === ''
        ? { type: '', config: {} }
        : { type: entry.log.type, config: entry.log.config },
    stdin: options.openStdin,
    rawArgs: options.rawArgs,
  };
}

/** @throws EruError `invalid` for a name that no engine has, or one that does not go with the image */
function engineIn(engine: string, image: string, imageLater: boolean): string {
  if (engine !== '' && !engineNames.some((name) => name === engine))
    throw invalid('engine', engine, `write ${engineNames.join(' or ')}, or leave it out`);
  if (engine === 'process' && image !== '')
    throw invalid('engine', engine, `processes have no images; leave out the engine or the image ${image}`);
  if (engine === 'docker' && image === '' && !imageLater)
    throw invalid('engine', engine, 'a container needs an image; give one, or leave out the engine');
  return engine;
}

function commandOf({ commands, command }: pb.EntrypointOptions, extraArgs: string): string[] {
  return commands.length > 0 ? commands : splitCommand(`${command} ${extraArgs}`);
}

function rootOf(root: string): WorkloadSpec['root'] {
  if (root === '' || root === 'host') return { type: 'host', writable: false };
  if (root === 'overlay') return { type: 'host', writable: true };
  if (!root.startsWith('/'))
    throw invalid('process.root', root, 'write host, overlay, or the absolute path of a root folder');
  return { type: 'folder', path: root, readOnly: false };
}

function mountOf({ source, target, readOnly }: eru.Mount): WorkloadSpec['mounts'][number] {
  checkAbsolute('process.mounts.source', source);
  checkAbsolute('process.mounts.target', target);
  return { source, target, readOnly };
}

/** -1 is no limit. */
function ulimitOf(name: string, { soft, hard }: eru.Ulimit): { soft: number; hard: number } {
  const field = `process.ulimits.${name}`;
  const isMore = hard !== -1n && (soft === -1n || soft > hard);
  if (soft < -1n || hard < -1n || isMore)
    throw invalid(field, `${soft}:${hard}`, 'the soft limit is at most the hard one; -1 is no limit');
  return { soft: toSafeNumber(soft, field), hard: toSafeNumber(hard, field) };
}

function pidsOf(pids: number): number {
  if (pids < 0) throw invalid('process.pids', pids, 'write 0 for no limit, or more');
  return pids;
}

function hookOf(hook: pb.HookOptions | undefined): HookRecord | null {
  return hook === undefined ? null : { afterStart: hook.afterStart, beforeStop: hook.beforeStop, force: hook.force };
}

/** `ERU_META`, with the names that the original's agent reads. */
function metaOf({ publish, healthcheck }: pb.EntrypointOptions): string {
  if (healthcheck !== undefined) {
    for (const port of healthcheck.tcpPorts) checkHealthPort('entrypoint.healthcheck.tcp_ports', port, publish);
    if (healthcheck.httpPort !== '') checkHealthPort('entrypoint.healthcheck.http_port', healthcheck.httpPort, publish);
    if (healthcheck.code !== 0 && (healthcheck.code < 100 || healthcheck.code > 599))
      throw invalid(
        'entrypoint.healthcheck.code',
        healthcheck.code,
        'write an HTTP status, or 0 for any from 200 to 499',
      );
  }
  return JSON.stringify({
    Publish: publish.length === 0 ? null : publish,
    HealthCheck:
      healthcheck === undefined
        ? null
        : {
            TCPPorts: healthcheck.tcpPorts.length === 0 ? null : healthcheck.tcpPorts,
            HTTPPort: healthcheck.httpPort,
            HTTPURL: healthcheck.url,
            HTTPCode: healthcheck.code,
          },
  });
}

const strategies: Readonly<Record<number, Strategy>> = {
  [pb.DeployOptions_Strategy.AUTO]: 'AUTO',
  [pb.DeployOptions_Strategy.FILL]: 'FILL',
  [pb.DeployOptions_Strategy.EACH]: 'EACH',
  [pb.DeployOptions_Strategy.GLOBAL]: 'GLOBAL',
  [pb.DeployOptions_Strategy.DRAINED]: 'DRAINED',
  [pb.DeployOptions_Strategy.DUMMY]: 'DUMMY',
};
