import { labelNames, type WorkloadSpec, type WorkloadState } from '@eru/engines';

import type { Context } from '../context.ts';
import type { HookRecord, Slot, StoredRequest, WorkloadRecord } from '../state/records.ts';

/** What is the same for all instances of a request. */
export interface InstanceRequest {
  app: string;
  entrypoint: string;
  pod: string;
  template: Omit<WorkloadSpec, 'name' | 'labels' | 'env' | 'engineParams' | 'succeeds'>;
  env: readonly string[];
  /** Of the user; core's own are added. They win. */
  labels: Readonly<Record<string, string>>;
  /** `ERU_META` */
  meta: string;
  hook: HookRecord | null;
  afterCreate: readonly string[];
  ignoreHook: boolean;
  /** The node's image is taken as it is. */
  ignorePull: boolean;
  /** Put into each instance before it starts, by absolute path. */
  files: ReadonlyMap<string, FileContent>;
}

/** What other workloads may say of this one (docs/affinity.md): its labels, and its app and entrypoint as labels, which win. */
export function placedLabels({
  app,
  entrypoint,
  labels,
}: Pick<InstanceRequest, 'app' | 'entrypoint' | 'labels'>): Readonly<Record<string, string>> {
  return { ...labels, app, entrypoint };
}

export interface FileContent {
  contents: Uint8Array;
  mode: number;
  uid: number;
  gid: number;
}

/** Environment and labels as reference/core-behaviour.md section 3.5 has them. */
export function specOf(
  request: InstanceRequest,
  slot: Slot,
  node: string,
  operation: string,
  view: Context['view'],
): WorkloadSpec {
  const pod = view.nodes.get(node)?.value.pod ?? request.pod;
  return {
    ...request.template,
    name: slot.name,
    env: [
      ...request.env,
      `APP_NAME=${request.app}`,
      `ERU_POD=${pod}`,
      `ERU_NODE_NAME=${node}`,
      `ERU_WORKLOAD_SEQ=${slot.sequence}`,
    ],
    labels: {
      [labelNames.eru]: '1',
      [labelNames.meta]: request.meta,
      [labelNames.node]: node,
      [labelNames.cluster]: view.cluster.get('')?.value.id ?? '',
      [labelNames.operation]: operation,
      ...request.labels,
    },
    engineParams: slot.engineParams,
    succeeds: '',
  };
}

export function recordOf(
  request: InstanceRequest,
  slot: Slot,
  state: WorkloadState,
  node: string,
  operation: string,
  { view, clock }: Context,
): WorkloadRecord {
  return {
    v: 1,
    id: state.id,
    name: slot.name,
    app: request.app,
    entrypoint: request.entrypoint,
    pod: request.pod,
    node,
    engine: view.nodes.get(node)?.value.engine ?? '',
    image: request.template.image,
    user: state.user,
    privileged: request.template.privileged,
    env: [...request.env],
    labels: { ...state.labels },
    publish: [...request.template.publish],
    ports: { ...state.ports },
    hook: request.hook,
    resources: slot.resources,
    engineParams: slot.engineParams,
    createdAtMs: clock.now(),
    operation,
  };
}

/** What a header keeps of a request that nobody waits for. */
export function stored({ template, env, labels, meta, hook, afterCreate, ignoreHook }: InstanceRequest): StoredRequest {
  const { rawArgs, ...rest } = template;
  return {
    template: rest,
    rawArgs: Buffer.from(rawArgs).toString('base64'),
    env: [...env],
    labels,
    meta,
    hook,
    afterCreate: [...afterCreate],
    ignoreHook,
  };
}

export function restored(
  { template, rawArgs, ...rest }: StoredRequest,
  names: Pick<InstanceRequest, 'app' | 'entrypoint' | 'pod'>,
): InstanceRequest {
  return {
    ...rest,
    ...names,
    template: { ...template, engine: template.engine ?? '', rawArgs: Buffer.from(rawArgs, 'base64') },
    ignorePull: false,
    files: new Map(),
  };
}
