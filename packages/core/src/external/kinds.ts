import type { Asked, MachineInfo, NodeResources, PlannedInstance, Resources } from '@eru/scheduler';

/**
 * Resource kinds whose usage lives elsewhere, all as one. The package plugins has them as executables; core only knows
 * this. Each change is made by all kinds or by none; an error names the kind, and its detail `unsure` those of which nobody
 * knows how far they came.
 */
export interface ExternalKinds {
  readonly names: readonly string[];
  /** How many more fit on each node, for `asked` of a plan. */
  ask(nodes: readonly string[], resources: Resources, signal?: AbortSignal): Promise<Asked>;
  /** The instances with what each kind gives to each. Books nothing. */
  allot(
    instances: readonly PlannedInstance[],
    resources: Resources,
    signal?: AbortSignal,
  ): Promise<readonly PlannedInstance[]>;
  book(node: string, workloads: readonly Resources[], direction: 'add' | 'subtract'): Promise<void>;
  /** `asked` of a realloc: the new amounts. Books nothing. */
  realloc(
    node: string,
    current: Resources,
    request: Resources,
    signal?: AbortSignal,
  ): Promise<{ readonly asked: Asked }>;
  /** `asked` of a remap, for the workloads of a node by id. */
  remap(node: string, workloads: ReadonlyMap<string, Resources>, signal?: AbortSignal): Promise<Asked>;
  addNode(node: string, request: Resources | undefined, machine: MachineInfo | undefined): Promise<NodeResources>;
  removeNode(node: string): Promise<void>;
  setCapacity(node: string, request: Resources, options: { readonly delta: boolean }): Promise<Resources>;
  /** `differences` are sentences about a usage that is not the sum of `workloads`. */
  info(node: string, workloads: readonly Resources[], signal?: AbortSignal): Promise<ExternalNode>;
  /** Like `info`, and makes it that sum; the differences are those found. */
  fix(node: string, workloads: readonly Resources[]): Promise<ExternalNode>;
  /** Makes the usage of every kind that sum, also of those that `info` and `fix` leave out. May be repeated. */
  settle(node: string, workloads: readonly Resources[]): Promise<void>;
  /** Makes the node known to the kinds that do not know it, with the workloads that are there. */
  adopt(node: string, machine: MachineInfo | undefined, workloads: readonly Resources[]): Promise<void>;
}

export interface ExternalNode extends NodeResources {
  readonly differences: readonly string[];
}

/** What workloads hold of some kinds; those that hold nothing of them are left out. */
export function partsOf(workloads: readonly Resources[], names: readonly string[]): Resources[] {
  return workloads.map((resources) => partOf(resources, names)).filter((part) => Object.keys(part).length > 0);
}

export function partOf(resources: Resources, names: readonly string[]): Resources {
  return Object.fromEntries(Object.entries(resources).filter(([kind]) => names.includes(kind)));
}
