import { EruError } from '@eru/kit';

/** The keys of docs/protocol.md, "Keys". Names are checked before they get here, so none contains a slash. */
export const keys = {
  cluster: 'cluster',
  core: (core: string): string => `cores/${core}`,
  pod: (pod: string): string => `pods/${pod}`,
  node: (node: string): string => `nodes/${node}`,
  nodeResources: (node: string): string => `node-resources/${node}`,
  workload: (id: string): string => `workloads/${id}`,
  claim: (id: string): string => `claims/${id}`,
  /** What external kinds have booked on a node is being changed, or has to be settled. */
  external: (node: string): string => `external/${node}`,
  release: (id: string): string => `released/${id}`,
  operation: (operation: string): string => `operations/${operation}`,
  /** All slots of an operation. */
  slotsOf: (operation: string): string => `operations/${operation}/`,
  slots: (operation: string, node: string, index: number): string => `operations/${operation}/${node}/${index}`,
  /** What the cluster's certificates are signed with. */
  authority: 'authority',
  /** A machine may join as this node, once. */
  join: (node: string): string => `joins/${node}`,
  token: (name: string): string => `tokens/${name}`,
  request: (key: string): string => `requests/${key}`,
  /** Of one try of a replace in a roll. */
  rolled: (operation: string, workload: string, attempt: number): string => `${operation}/${workload}/${attempt}`,
  app: (app: string, entrypoint: string): string => `apps/${app}/${entrypoint}`,
  nodeStatus: (node: string): string => `status/nodes/${node}`,
  workloadStatus: (id: string): string => `status/workloads/${id}`,
} as const;

/** The node of a slot key, or of its name in the view's table. */
export function nodeOfSlots(key: string): string {
  return key.split('/').at(-2) ?? '';
}

/** Slots that share one key. */
export const slotsPerKey = 64;

/** The parts of `app_entrypoint_ident`, parsed from the right: only the app may contain `_`. */
export interface WorkloadName {
  app: string;
  entrypoint: string;
  ident: string;
}

export function formatName({ app, entrypoint, ident }: WorkloadName): string {
  return `${app}_${entrypoint}_${ident}`;
}

/** `invalid` when it has fewer than three parts. */
export function parseName(name: string): WorkloadName {
  const parts = name.replace(/^\//, '').split('_');
  const ident = parts.pop();
  const entrypoint = parts.pop();
  const app = parts.join('_');
  if (!ident || !entrypoint || !app) throw new EruError('invalid', `${name}: invalid workload name`);
  return { app, entrypoint, ident };
}
