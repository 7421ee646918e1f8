import { EruError, isEruError, limitConcurrency, type JsonObject, type Logger } from '@eru/kit';
import {
  withAllotments,
  type ExternalAnswer,
  type KindNode,
  type MachineInfo,
  type Measure,
  type Metric,
  type MetricDescription,
  type NodeResources,
  type PlannedInstance,
  type Resources,
} from '@eru/scheduler';
import { discoverPlugins } from './discover.ts';
import { combined, hadNoEffect } from './failure.ts';
import { machineOnWire } from './machine.ts';
import { Plugin, type NodeInfo } from './plugin.ts';
import { all, settleAll, type Outcome } from './settle.ts';

/** `resource_plugin` of core's configuration. */
export interface PluginSettings {
  /** Empty = no plugins. */
  readonly dir: string;
  /** Limit of one call; default 30 s. */
  readonly callTimeoutMs?: number;
  /** When given, only these are asked by `info` and `fix`; everything else always asks all. */
  readonly whitelist?: readonly string[];
}

export interface ExternalKindsOptions extends PluginSettings {
  /** Names that are taken: the built-in kinds'. */
  readonly taken: readonly string[];
  readonly logger: Logger;
  /** Plugin processes at one time, over all plugins and callers. */
  readonly processes?: number;
}

/** What external kinds answered ahead, by kind: `asked` of the scheduler's requests. */
export type ExternalAnswers = Readonly<Record<string, ExternalAnswer>>;

/** Answers for thousands of nodes are read in parts, so that none holds the event loop. */
const nodesPerCall = 2_500;

/** Discovers the plugins of a folder. @throws EruError see `discoverPlugins` */
export async function openExternalKinds(options: ExternalKindsOptions): Promise<ExternalKinds> {
  const { dir, taken, logger, callTimeoutMs = 30_000, whitelist, processes = 16 } = options;
  const found = dir === '' ? [] : await discoverPlugins(dir, { taken, logger });
  const admit = limitConcurrency(processes);
  const plugins = found.map((plugin) => new Plugin({ ...plugin, timeoutMs: callTimeoutMs, admit }));
  return new ExternalKinds(plugins, { whitelist, logger });
}

/**
 * All external kinds as one: every plugin is called, in parallel, and any error fails the whole. What others have changed
 * by then is changed back, also when the caller is gone; a plugin whose call failed without its own refusal may have
 * changed its usage or not, and is set right by *fix* with what the node's workloads hold.
 */
export class ExternalKinds {
  readonly #plugins: readonly Plugin[];
  #inspected: readonly Plugin[] = [];
  readonly #logger: Logger;

  constructor(
    plugins: readonly Plugin[],
    { whitelist, logger }: { readonly whitelist?: readonly string[] | undefined; readonly logger: Logger },
  ) {
    this.#plugins = plugins;
    this.#logger = logger;
    this.inspectOnly(whitelist);
  }

  /** From now on `info` and `fix` ask these only; undefined = all. */
  inspectOnly(whitelist: readonly string[] | undefined): void {
    this.#inspected =
      whitelist === undefined ? this.#plugins : this.#plugins.filter(({ name }) => whitelist.includes(name));
  }

  get names(): string[] {
    return this.#plugins.map(({ name }) => name);
  }

  // Before and after a plan.

  /** How many more fit on each node, for `asked` of `plan` and `capacity`. A node that a kind leaves out has no room. */
  async ask(nodes: readonly string[], resources: Resources, signal?: AbortSignal): Promise<ExternalAnswers> {
    const parts = Array.from({ length: Math.ceil(nodes.length / nodesPerCall) }, (_, part) =>
      nodes.slice(part * nodesPerCall, (part + 1) * nodesPerCall),
    );
    const answers = await this.#all(async (plugin) => {
      const request = resources[plugin.name] ?? null;
      const capacities = new Map<string, Measure>();
      const askPart = async (part: readonly string[]): Promise<void> => {
        for (const [node, room] of await plugin.getNodesDeployCapacity(part, request, signal))
          capacities.set(node, room);
      };
      await Promise.all(parts.map(askPart));
      return { capacities };
    });
    return Object.fromEntries(answers);
  }

  /**
   * A plan's instances with what each external kind gives to each: `calculate-deploy` on every chosen node. Books nothing.
   */
  async allot(
    instances: readonly PlannedInstance[],
    resources: Resources,
    signal?: AbortSignal,
  ): Promise<PlannedInstance[]> {
    const counts = new Map<string, number>();
    for (const { node } of instances) counts.set(node, (counts.get(node) ?? 0) + 1);
    const given = await this.#all(async (plugin) => {
      const request = resources[plugin.name] ?? null;
      const answers = [...counts].map(
        async ([node, count]) => [node, await plugin.calculateDeploy(node, count, request, signal)] as const,
      );
      return new Map(await Promise.all(answers));
    });
    return [...given].reduce((plan, [kind, allotments]) => withAllotments(plan, kind, allotments), [...instances]);
  }

  // Bookings of a node.

  /**
   * Books workloads on a node (or deltas of `realloc`), or gives them back: all kinds or none.
   * `held`: what all workloads of the node hold without this change (records and slots), to repair a kind whose call failed;
   * without it the error's detail `unsure` names the kinds that need `fix`.
   */
  async book(
    node: string,
    workloads: readonly Resources[],
    direction: 'add' | 'subtract',
    held?: readonly Resources[],
  ): Promise<void> {
    const change = (plugin: Plugin, incr: boolean): Promise<unknown> =>
      plugin.setNodeResourceUsage(node, {
        workloads_resource: orNull(partsOf(workloads, plugin.name)),
        resource: null,
        resource_request: null,
        delta: true,
        incr,
      });
    const add = direction === 'add';
    const outcome = await settleAll(this.#plugins, (plugin) => change(plugin, add));
    if (outcome.errors.size === 0) return;
    const unsure = await this.#repair(outcome, {
      done: (plugin) => change(plugin, !add),
      unclear: async (plugin) => {
        if (held === undefined) throw new EruError('precondition', 'what the workloads of the node hold is not known');
        await plugin.fixNodeResource(node, partsOf(held, plugin.name));
      },
    });
    throw withUnsure(combined([...outcome.errors.values()]), unsure);
  }

  /** New resources of a workload where it is: current amounts plus the request's. Books nothing: `book` the `delta`. */
  async realloc(node: string, current: Resources, request: Resources, signal?: AbortSignal): Promise<ExternalRealloc> {
    const answers = await this.#all((plugin) =>
      plugin.calculateRealloc(node, current[plugin.name] ?? null, request[plugin.name] ?? null, signal),
    );
    return {
      asked: mapValues(answers, ({ resources, engineParams }) => ({ realloc: { resources, engineParams } })),
      delta: mapValues(answers, ({ delta }) => delta),
    };
  }

  /** New engine parameters of those workloads whose share follows what others hold, for `asked` of the scheduler's `remap`. */
  async remap(node: string, workloads: ReadonlyMap<string, Resources>, signal?: AbortSignal): Promise<ExternalAnswers> {
    const answers = await this.#all((plugin) => {
      const parts = [...workloads].map(([id, resources]) => [id, resources[plugin.name] ?? {}] as const);
      return plugin.calculateRemap(node, new Map(parts), signal);
    });
    return mapValues(answers, (remap) => ({ remap }));
  }

  // Nodes.

  /**
   * Every kind makes its record of a node. A plugin that failed may have made one too; it is removed, unless the plugin said
   * that the node was there before.
   */
  async addNode(
    node: string,
    request: Resources | undefined,
    machine: MachineInfo | undefined,
  ): Promise<NodeResources> {
    const info = machine === undefined ? null : machineOnWire(node, machine);
    const outcome = await settleAll(this.#plugins, (plugin) =>
      plugin.addNode(node, request?.[plugin.name] ?? null, info),
    );
    if (outcome.errors.size > 0) {
      const remove = (plugin: Plugin): Promise<unknown> => plugin.removeNode(node);
      await this.#repair(outcome, { done: remove, unclear: remove });
      throw combined([...outcome.errors.values()]);
    }
    return nodeResources(outcome.values);
  }

  /** Removing what is not there is fine. */
  async removeNode(node: string): Promise<void> {
    const before = await this.#all((plugin) => ifThere(plugin.getNodeResourceInfo(node, null)));
    const outcome = await settleAll(this.#plugins, (plugin) => plugin.removeNode(node));
    if (outcome.errors.size === 0) return;
    const restore = async (plugin: Plugin): Promise<void> => {
      const was = before.get(plugin.name);
      if (was !== undefined && !isEmpty(was.capacity)) await plugin.setNodeResourceInfo(node, was);
    };
    await this.#repair(outcome, { done: restore, unclear: restore });
    throw combined([...outcome.errors.values()]);
  }

  /** Kinds that the request does not mention stay as they are. Answers the capacities that changed. */
  async setCapacity(node: string, request: Resources, { delta }: { readonly delta: boolean }): Promise<Resources> {
    const concerned = this.#plugins.filter(({ name }) => request[name] !== undefined);
    const change = (plugin: Plugin, resource: JsonObject | null, asked: JsonObject | null, delta: boolean) =>
      plugin.setNodeResourceCapacity(node, { resource, resource_request: asked, delta, incr: true });
    const before = await all(concerned, (plugin) => plugin.getNodeResourceInfo(node, null));
    const outcome = await settleAll(concerned, (plugin) => change(plugin, null, request[plugin.name] ?? null, delta));
    if (outcome.errors.size > 0) {
      const restore = (plugin: Plugin): Promise<unknown> =>
        change(plugin, before.get(plugin.name)?.capacity ?? {}, null, false);
      await this.#repair(outcome, { done: restore, unclear: restore });
      throw combined([...outcome.errors.values()]);
    }
    return mapValues(outcome.values, ({ after }) => after);
  }

  /** Capacity, usage and mismatches with what all workloads of the node hold. */
  async info(node: string, workloads: readonly Resources[], signal?: AbortSignal): Promise<ExternalNode> {
    return externalNode(
      await all(this.#inspected, (plugin) => plugin.getNodeResourceInfo(node, partsOf(workloads, plugin.name), signal)),
    );
  }

  /** Makes the usage what all workloads of the node hold; `differences` are those found. May be repeated. */
  async fix(node: string, workloads: readonly Resources[]): Promise<ExternalNode> {
    return externalNode(
      await all(this.#inspected, (plugin) => plugin.fixNodeResource(node, partsOf(workloads, plugin.name))),
    );
  }

  /** Like `fix`, of all kinds, also of those that are not asked about nodes: for what a change has left open. */
  async settle(node: string, workloads: readonly Resources[]): Promise<void> {
    await this.#all((plugin) => plugin.fixNodeResource(node, partsOf(workloads, plugin.name)));
  }

  /**
   * For a plugin that came to a running cluster: a node without a record gets one, with the workloads that are there.
   * One node without a record fails every plan that looks at it.
   */
  async adopt(node: string, machine: MachineInfo | undefined, workloads: readonly Resources[]): Promise<void> {
    await this.#all(async (plugin) => {
      const known = await ifThere(plugin.getNodeResourceInfo(node, null));
      if (known !== undefined && !(isEmpty(known.capacity) && isEmpty(known.usage))) return;
      await plugin.addNode(node, null, machine === undefined ? null : machineOnWire(node, machine));
      await plugin.fixNodeResource(node, partsOf(workloads, plugin.name));
    });
  }

  /** The vote of highest priority, the first of equals. @throws EruError `failed` when nobody votes */
  async mostIdle(
    nodes: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly node: string; readonly priority: number }> {
    const votes = [...(await this.#all((plugin) => plugin.getMostIdleNode(nodes, signal))).values()];
    const best = votes.filter(({ node }) => node !== '').sort((a, b) => b.priority - a.priority)[0];
    if (best === undefined) throw new EruError('failed', 'get most idle node failed');
    return best;
  }

  async metricDescriptions(signal?: AbortSignal): Promise<MetricDescription[]> {
    return [...(await this.#all((plugin) => plugin.getMetricsDescription(signal))).values()].flat();
  }

  async metrics(pod: string, node: string, signal?: AbortSignal): Promise<Metric[]> {
    return [...(await this.#all((plugin) => plugin.getMetrics(pod, node, signal))).values()].flat();
  }

  #all<T>(call: (plugin: Plugin) => Promise<T>): Promise<ReadonlyMap<string, T>> {
    return all(this.#plugins, call);
  }

  /**
   * Brings back what a half-made change has changed. A repair that fails is logged, and the reconciler's comparison finds
   * what it left. Answers the names of kinds whose usage is not known.
   */
  async #repair<T>(outcome: Outcome<T>, how: Repair): Promise<string[]> {
    const unsure: string[] = [];
    const attempts = this.#plugins.map(async (plugin) => {
      const error = outcome.errors.get(plugin.name);
      const done = outcome.values.has(plugin.name);
      if (!done && (error === undefined || hadNoEffect(error))) return;
      try {
        // An undoing that fails leaves as open as a change that did how far it came.
        await (done ? how.done(plugin).catch(() => how.unclear(plugin)) : how.unclear(plugin));
      } catch (err) {
        unsure.push(plugin.name);
        this.#logger.error({ plugin: plugin.name, err }, 'resource plugin not rolled back: its usage needs a fix');
      }
    });
    await Promise.all(attempts);
    return unsure.sort();
  }
}

interface Repair {
  /** For plugins whose change was made. */
  readonly done: (plugin: Plugin) => Promise<unknown>;
  /** For those whose call failed in a way that leaves open whether it was. */
  readonly unclear: (plugin: Plugin) => Promise<unknown>;
}

export interface ExternalRealloc {
  /** For `asked` of the scheduler's `realloc`. */
  readonly asked: ExternalAnswers;
  /** New - old by kind: booking it turns the old amounts into the new ones, giving it back undoes that. */
  readonly delta: Resources;
}

export interface ExternalNode extends NodeResources {
  readonly differences: readonly string[];
}

function externalNode(answers: ReadonlyMap<string, NodeInfo>): ExternalNode {
  return { ...nodeResources(answers), differences: [...answers.values()].flatMap(({ differences }) => differences) };
}

function nodeResources(parts: ReadonlyMap<string, KindNode>): NodeResources {
  return {
    capacity: mapValues(parts, ({ capacity }) => capacity),
    usage: mapValues(parts, ({ usage }) => usage),
  };
}

function withUnsure(error: EruError, unsure: readonly string[]): EruError {
  if (unsure.length === 0) return error;
  return new EruError(error.code, error.message, { cause: error, details: { ...error.details, unsure } });
}

/** What was asked of a node, or nothing where the plugin does not know it. */
async function ifThere<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isEruError(error, 'not_found')) return undefined;
    throw error;
  }
}

/** What each workload holds of one kind; those without any are left out. */
function partsOf(workloads: readonly Resources[], kind: string): JsonObject[] {
  return workloads.map((resources) => resources[kind]).filter((part) => part !== undefined);
}

function mapValues<V, W>(map: ReadonlyMap<string, V>, change: (value: V) => W): Record<string, W> {
  return Object.fromEntries([...map].map(([name, value]) => [name, change(value)]));
}

function orNull<T>(list: readonly T[]): readonly T[] | null {
  return list.length === 0 ? null : list;
}

function isEmpty(object: JsonObject): boolean {
  return Object.keys(object).length === 0;
}
