import { EruError, isEruError, parseConfig } from '@eru/kit';
import { z } from 'zod';

import { checkHealthcheck, healthcheckKeys } from './health-keys.ts';
import * as values from './values.ts';

/** The app spec of reference/cli.md section 16; every flag of `deploy` is also a key, at the top or in an entrypoint. */
export type Spec = z.infer<typeof specSchema>;
export type Entrypoint = z.infer<typeof entrypointSchema>;
export type DeployKeys = z.infer<z.ZodObject<typeof deployKeys>>;

/** Complaints name the file, line and column. */
export function parseSpec(text: string, file: string): Spec {
  return parseConfig(text, file, specSchema);
}

/** A parser of values as a part of the schema: one set of rules for files and flags. */
function key<T>(parse: values.Parse<T>) {
  return z.unknown().transform((value, context): T => {
    const result = complain(context, [], () => ({ value: parse(value) }));
    return result === undefined ? z.NEVER : result.value;
  });
}

/** A complaint of `parse` becomes an issue, and gets its line from its path. */
function complain<T>(context: z.core.$RefinementCtx, path: string[], parse: () => T): T | undefined {
  try {
    return parse();
  } catch (error) {
    if (!isEruError(error, 'invalid')) throw error;
    context.addIssue({ code: 'custom', path, message: error.message, params: { key: path.length > 0 } });
    return undefined;
  }
}

function optional<T>(parse: values.Parse<T>) {
  return key(parse).optional();
}

/** What flags can say too. A flag wins over the entrypoint, the entrypoint over the top of the file. */
const deployKeys = {
  pod: optional(values.placeName),
  image: optional(values.text),
  count: optional(values.instanceCount),
  cpu: optional(values.cores),
  cpu_request: optional(values.cores),
  cpu_limit: optional(values.cores),
  cpu_bind: optional(values.flag),
  numa: optional(values.numaPolicy),
  memory: optional(values.size),
  memory_request: optional(values.size),
  memory_limit: optional(values.size),
  storage: optional(values.size),
  storage_request: optional(values.size),
  storage_limit: optional(values.size),
  gpu: optional(values.gpus),
  extra_resources: optional(values.resourceRequests),
  node: optional(values.placeNames),
  nodelabel: optional(values.labels),
  deploy_strategy: optional(values.strategy),
  nodes_limit: optional(values.nodesLimit),
  network: optional(values.network),
  env: optional(values.environment),
  user: optional(values.text),
  file: optional(values.files),
  after_create: optional(values.texts),
  ignore_hook: optional(values.flag),
  debug: optional(values.flag),
  raw_args: optional(values.jsonObject),
  engine: optional(values.engineName),
  // Only for processes: without an image.
  root: optional(values.text),
  mounts: optional(values.mounts),
  ulimits: optional(values.ulimits),
  pids: optional(values.processCount),
  stop_signal: optional(values.signalName),
} as const;

const hookSchema = z.strictObject({
  after_start: optional(values.texts),
  before_stop: optional(values.texts),
  // The original reads these two and has no field to send them in.
  after_resume: optional(values.texts),
  before_suspend: optional(values.texts),
  force: optional(values.flag),
});

const entrypointSchema = z
  .strictObject({
    name: optional(values.text),
    commands: optional(values.argumentList),
    cmd: optional(values.text),
    privileged: optional(values.flag),
    dir: optional(values.text),
    publish: optional(values.ports),
    restart: optional(values.restartPolicy),
    sysctls: optional(values.settings),
    log: z.strictObject({ type: optional(values.text), config: optional(values.settings) }).optional(),
    healthcheck: healthcheckKeys(optional).optional(),
    hook: hookSchema.optional(),
    ...deployKeys,
  })
  .superRefine(({ healthcheck, publish = [] }, context) => {
    if (healthcheck !== undefined) complain(context, ['healthcheck'], () => checkHealthcheck(healthcheck, publish));
  });

const specSchema = z.strictObject({
  appname: key(values.appName),
  entrypoints: z
    .record(z.string(), entrypointSchema, { error: 'write a map of name to entrypoint, with commands or cmd in each' })
    .superRefine((entrypoints, context) => {
      if (Object.keys(entrypoints).length === 0)
        context.addIssue({ code: 'custom', message: 'empty; write at least one' });
      for (const name of Object.keys(entrypoints)) complain(context, [name], () => values.entrypointName(name));
    }),
  entry: optional(values.entrypointName),
  volumes: optional(values.volumes),
  volumes_request: optional(values.volumes),
  labels: optional(values.labels),
  dns: optional(values.texts),
  extra_hosts: optional(values.texts),
  ...deployKeys,
});

/** The entrypoint that is asked for, or the only one. */
export function chooseEntrypoint(spec: Spec, wanted: string | undefined): { name: string; entrypoint: Entrypoint } {
  const names = Object.keys(spec.entrypoints);
  const list = names.join(', ') || 'none';
  const name = wanted ?? spec.entry ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined)
    throw new EruError('invalid', `--entry: missing; ${spec.appname} has several entrypoints: ${list}`);
  const entrypoint = spec.entrypoints[name];
  if (entrypoint === undefined)
    throw new EruError(
      'invalid',
      `--entry: ${JSON.stringify(name)} is no entrypoint of ${spec.appname}; it has: ${list}`,
    );
  return { name, entrypoint };
}
