import type { MessageInitShape } from '@eru/contract';
import { eru, pb } from '@eru/contract';
import { EruError } from '@eru/kit';

import { healthcheckLabel, healthcheckMessage } from './health-keys.ts';
import type { DeployKeys, Entrypoint, Spec } from './spec.ts';
import type { FileToSend } from './values.ts';
import { refuse } from './values.ts';

export type DeployRequest = MessageInitShape<typeof eru.DeployRequestSchema>;

/** What flags say; they win over the file. `env` and `labels` add to it. */
export type DeployFlags = Partial<DeployKeys> & { labels?: Record<string, string> };

/** Where a spec stands, for `${SPEC_DIR}` and `${NODE}`, and how its files are read. */
export interface Surroundings {
  /** Absolute folder of the spec file. */
  specFolder: string;
  /** The node program that runs this command. */
  nodeProgram: string;
  readFile: (source: string) => Promise<Uint8Array>;
}

/** Everything a deploy sends, checked. Throws `invalid`, naming the key. */
export async function deployRequest(
  spec: Spec,
  { name, entrypoint }: { name: string; entrypoint: Entrypoint },
  flags: DeployFlags,
  surroundings: Surroundings,
): Promise<DeployRequest> {
  const options: DeployKeys = { ...spec, ...entrypoint, ...flags };
  const expand = expander(surroundings);
  const env = { ...spec.env, ...entrypoint.env, ...flags.env };
  const files = await Promise.all((options.file ?? []).map((file) => readToSend(file, surroundings)));
  if (options.pod === undefined) throw new EruError('invalid', 'pod: missing; give --pod, or the key pod in the spec');
  const deployOptions: MessageInitShape<typeof pb.DeployOptionsSchema> = {
    name: spec.appname,
    entrypoint: entrypointOf(name, entrypoint, expand),
    podname: options.pod,
    image: options.image ?? '',
    count: options.count ?? 1,
    env: Object.entries(env).map(([key, value]) => `${key}=${expand(value)}`),
    dns: spec.dns ?? [],
    extraHosts: spec.extra_hosts ?? [],
    networks: options.network ?? { host: '' },
    // By number: an image need not have /etc/passwd.
    user: options.user ?? (options.image === undefined ? '' : '0'),
    debug: options.debug ?? false,
    labels: labelsOf(spec, entrypoint, flags),
    deployStrategy: pb.DeployOptions_Strategy[options.deploy_strategy ?? 'AUTO'],
    nodesLimit: options.nodes_limit ?? 0,
    ignoreHook: options.ignore_hook ?? false,
    afterCreate: options.after_create ?? [],
    nodeFilter: { includes: options.node ?? [], labels: options.nodelabel ?? {} },
    resources: resourcesOf(spec, options),
    data: Object.fromEntries(files.map(({ target, contents }) => [target, contents])),
    modes: Object.fromEntries(files.map(({ target, mode }) => [target, { mode: BigInt(mode) }])),
    owners: Object.fromEntries(files.map(({ target, owner }) => [target, owner])),
    ...(options.raw_args === undefined ? {} : { rawArgs: bytes(options.raw_args) }),
  };
  const process = processOf(options, expand);
  const engine = engineIn(options);
  return { options: deployOptions, engine, ...(process === undefined ? {} : { process }) };
}

const healthLabel = 'eru.healthcheck';

/** @throws EruError `invalid` for a check that is asked for in two places */
function labelsOf(spec: Spec, { healthcheck }: Entrypoint, flags: DeployFlags): Record<string, string> {
  const labels = { ...spec.labels, ...flags.labels };
  const check = healthcheck === undefined ? '' : healthcheckLabel(healthcheck);
  if (check === '') return labels;
  if (labels[healthLabel] !== undefined)
    throw new EruError('invalid', `labels: ${healthLabel} and the key healthcheck say the same; leave the label out`);
  return { ...labels, [healthLabel]: check };
}

type Expand = (text: string) => string;

/** Only these two names: `${HOME}` in a shell line belongs to the shell. */
function expander({ specFolder, nodeProgram }: Surroundings): Expand {
  return (text) => text.replaceAll('${SPEC_DIR}', specFolder).replaceAll('${NODE}', nodeProgram);
}

function entrypointOf(
  name: string,
  entrypoint: Entrypoint,
  expand: Expand,
): MessageInitShape<typeof pb.EntrypointOptionsSchema> {
  const { commands, cmd = '', healthcheck, hook, log } = entrypoint;
  const words = commands ?? cmd.split(' ').filter((word) => word !== '');
  return {
    name,
    commands: words.map((word) => expand(word)),
    privileged: entrypoint.privileged ?? false,
    dir: absolute('dir', expand(entrypoint.dir ?? '')),
    publish: entrypoint.publish ?? [],
    restart: entrypoint.restart ?? '',
    sysctls: entrypoint.sysctls ?? {},
    ...(log === undefined ? {} : { log: { type: log.type ?? '', config: log.config ?? {} } }),
    ...(healthcheck === undefined ? {} : { healthcheck: healthcheckMessage(healthcheck) }),
    ...(hook === undefined
      ? {}
      : {
          hook: {
            afterStart: hook.after_start ?? [],
            beforeStop: hook.before_stop ?? [],
            force: hook.force ?? false,
          },
        }),
  };
}

/** The payloads of reference/cli.md section 15; a kind that is not asked for is not sent. */
function resourcesOf(spec: Spec, options: DeployKeys): Record<string, Uint8Array> {
  const cpumem = {
    'cpu-request': options.cpu_request ?? options.cpu ?? 0,
    'cpu-limit': options.cpu_limit ?? options.cpu ?? 1,
    'memory-request': options.memory_request ?? options.memory ?? 0,
    'memory-limit': options.memory_limit ?? options.memory ?? 512 * 1024 ** 2,
    ...(options.cpu_bind === true ? { 'cpu-bind': true } : {}),
    ...(options.numa === undefined ? {} : { numa: options.numa }),
  };
  const { volumes = [], volumes_request: volumesRequest = [] } = spec;
  const storage = {
    'storage-request': options.storage_request ?? options.storage ?? 0,
    'storage-limit': options.storage_limit ?? options.storage ?? 0,
    'volumes-request': volumesRequest,
    'volumes-limit': volumes,
  };
  const wantsStorage = Object.values(storage).some((amount) =>
    Array.isArray(amount) ? amount.length > 0 : amount > 0,
  );
  if (options.gpu !== undefined && options.extra_resources?.['gpu'] !== undefined)
    throw new EruError('invalid', 'gpu: extra_resources asks for GPUs too; leave out one of the two');
  const all = {
    ...options.extra_resources,
    cpumem,
    ...(wantsStorage ? { storage } : {}),
    ...(options.gpu === undefined ? {} : { gpu: { prod_count_map: options.gpu } }),
  };
  return Object.fromEntries(Object.entries(all).map(([kind, request]) => [kind, bytes(request)]));
}

function processOf(options: DeployKeys, expand: Expand): MessageInitShape<typeof eru.ProcessOptionsSchema> | undefined {
  const { image = '', root, mounts, ulimits, pids, stop_signal: stopSignal } = options;
  if (image !== '') {
    const given = Object.entries({ root, mounts, ulimits, pids, stop_signal: stopSignal });
    const stray = given.find(([, value]) => value !== undefined);
    if (stray !== undefined)
      throw new EruError(
        'invalid',
        `${stray[0]}: is for processes, and this is the image ${image}; leave out one of the two`,
      );
    return undefined;
  }
  return {
    root: rootOf(expand(root ?? 'host')),
    mounts: (mounts ?? []).map(({ source, target, readOnly }) => ({
      source: absolute('mounts', expand(source)),
      target: absolute('mounts', expand(target)),
      readOnly,
    })),
    ulimits: Object.fromEntries(
      Object.entries(ulimits ?? {}).map(([name, { soft, hard }]) => [name, { soft: BigInt(soft), hard: BigInt(hard) }]),
    ),
    pids: pids ?? 0,
    stopSignal: stopSignal ?? '',
  };
}

function engineIn({ engine = '', image = '' }: DeployKeys): string {
  if (engine === 'docker' && image === '')
    throw new EruError('invalid', 'engine: a container needs an image; give one, or leave out the engine');
  if (engine === 'process' && image !== '')
    throw new EruError('invalid', `engine: processes have no images; leave out the engine or the image ${image}`);
  return engine;
}

function rootOf(root: string): string {
  if (root === 'host' || root === 'overlay' || root.startsWith('/')) return root;
  throw new EruError(
    'invalid',
    `root: ${refuse(root, 'root is host, overlay or the absolute path of a folder').message}`,
  );
}

function absolute(name: string, path: string): string {
  if (path === '' || path.startsWith('/')) return path;
  throw new EruError(
    'invalid',
    `${name}: ${refuse(path, 'write an absolute path; ${SPEC_DIR} is the folder of the spec').message}`,
  );
}

async function readToSend({ source, target, mode, owner }: FileToSend, { readFile }: Surroundings) {
  return { target, contents: await readFile(source), mode: mode ?? 0, owner: owner ?? { uid: 0, gid: 0 } };
}

function bytes(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
