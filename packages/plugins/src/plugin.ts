import type { Json, JsonObject } from '@eru/kit';
import type { Allotment, KindNode, Measure, Metric, MetricDescription } from '@eru/scheduler';
import { Answer } from './answer.ts';
import { callProcess, type ProcessCall } from './process.ts';
import type { Command, MachineOnWire, Requests } from './protocol.ts';
import { encode } from './wire.ts';

export interface PluginOptions {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  /** Working directory of its processes. */
  readonly folder: string;
  readonly timeoutMs: number;
  /** Runs a call when there is room for one more process. */
  readonly admit: <T>(call: () => Promise<T>) => Promise<T>;
  /** How a call is made; default: as a process. */
  readonly run?: (call: ProcessCall) => Promise<string>;
}

export interface NodeInfo extends KindNode {
  /** A line for people per mismatch between the usage and what the workloads hold. */
  readonly differences: readonly string[];
}

export interface Replaced {
  readonly before: JsonObject;
  readonly after: JsonObject;
}

export interface Reallocation extends Allotment {
  /** New - old: booking it turns the old amounts into the new ones. */
  readonly delta: JsonObject;
}

/**
 * One external kind: a method per command of the protocol. Every answer is checked; every failure is an `EruError` that
 * says what the plugin did, in its own words (`failure.ts`). Nothing here repairs: that is `ExternalKinds`'.
 */
export class Plugin {
  readonly name: string;
  readonly #options: PluginOptions;

  constructor(options: PluginOptions) {
    this.name = options.name;
    this.#options = options;
  }

  // Pure questions: these write nothing.

  async calculateDeploy(
    node: string,
    count: number,
    request: JsonObject | null,
    signal?: AbortSignal,
  ): Promise<Allotment[]> {
    const answer = await this.#call(
      'calculate-deploy',
      { nodename: node, deploy_count: count, workload_resource_request: request },
      signal,
    );
    const params = answer.field('engines_params').list(count);
    const resources = answer.field('workloads_resource').list(count);
    return resources.map((each, index) => ({
      resources: each.object(),
      engineParams: (params[index] as Answer).object(),
    }));
  }

  async calculateRealloc(
    node: string,
    current: JsonObject | null,
    request: JsonObject | null,
    signal?: AbortSignal,
  ): Promise<Reallocation> {
    const answer = await this.#call(
      'calculate-realloc',
      { nodename: node, workload_resource: current, workload_resource_request: request },
      signal,
    );
    return {
      resources: answer.field('workload_resource').object(),
      engineParams: answer.field('engine_params').object(),
      delta: answer.field('delta_resource').object(),
    };
  }

  /** New engine parameters by workload id; only of those to be changed. */
  async calculateRemap(
    node: string,
    workloads: ReadonlyMap<string, JsonObject>,
    signal?: AbortSignal,
  ): Promise<Map<string, JsonObject>> {
    const request = { nodename: node, workloads_resource: Object.fromEntries(workloads) };
    const answer = (await this.#call('calculate-remap', request, signal)).field('engine_params_map');
    return new Map(
      answer.entries().map(([id, params]) => {
        if (!workloads.has(id)) throw answer.lie('about the workloads it was asked for', `about ${id}`);
        return [id, params.object()];
      }),
    );
  }

  /** Room by node; those without any are left out. */
  async getNodesDeployCapacity(
    nodes: readonly string[],
    request: JsonObject | null,
    signal?: AbortSignal,
  ): Promise<Map<string, Measure>> {
    const asked = new Set(nodes);
    const answer = (
      await this.#call('get-nodes-deploy-capacity', { nodenames: nodes, workload_resource: request }, signal)
    ).field('nodes_deploy_capacity_map');
    const rooms = new Map<string, Measure>();
    for (const [node, room] of answer.entries()) {
      if (!asked.has(node)) throw answer.lie('about the nodes it was asked for', `about ${JSON.stringify(node)}`);
      const count = room.field('Capacity').count();
      const [usage, rate] = [room.field('Usage').amount(), room.field('Rate').amount()];
      if (count > 0) rooms.set(node, { count, usage, rate, weight: room.field('Weight').amount() });
    }
    return rooms;
  }

  async getNodeResourceInfo(
    node: string,
    workloads: readonly JsonObject[] | null,
    signal?: AbortSignal,
  ): Promise<NodeInfo> {
    return info(await this.#call('get-node-resource-info', { nodename: node, workloads_resource: workloads }, signal));
  }

  /** Highest priority wins over plugins; an empty name is no vote. */
  async getMostIdleNode(
    nodes: readonly string[],
    signal?: AbortSignal,
  ): Promise<{ readonly node: string; readonly priority: number }> {
    const answer = await this.#call('get-most-idle-node', { nodenames: nodes }, signal);
    const node = answer.field('nodename').text();
    if (node !== '' && !nodes.includes(node))
      throw answer.field('nodename').lie('one of the nodes it was asked for', JSON.stringify(node));
    return { node, priority: answer.field('priority').integer() };
  }

  async getMetricsDescription(signal?: AbortSignal): Promise<MetricDescription[]> {
    const answer = await this.#call('get-metrics-description', {}, signal);
    return answer.list().map((each) => {
      const type = each.field('type').text();
      if (type !== 'gauge' && type !== 'counter') throw each.field('type').lie('gauge or counter');
      return {
        name: each.field('name').text(),
        help: each.field('help').text(),
        type,
        labels: texts(each.field('labels')),
      };
    });
  }

  async getMetrics(pod: string, node: string, signal?: AbortSignal): Promise<Metric[]> {
    const answer = await this.#call('get-metrics', { podname: pod, nodename: node }, signal);
    return answer.list().map((each) => ({
      name: each.field('name').text(),
      labels: texts(each.field('labels')),
      key: each.field('key').text(),
      value: each.field('value').text(),
    }));
  }

  // Changes. Not cancelled once begun: a killed writer leaves its effect unknown.

  async addNode(node: string, request: JsonObject | null, machine: MachineOnWire | null): Promise<KindNode> {
    const answer = await this.#call('add-node', { nodename: node, resource: request, info: machine });
    return { capacity: answer.field('capacity').object(), usage: answer.field('usage').object() };
  }

  async removeNode(node: string): Promise<void> {
    (await this.#call('remove-node', { nodename: node })).object();
  }

  async setNodeResourceCapacity(
    node: string,
    change: Omit<Requests['set-node-resource-capacity'], 'nodename'>,
  ): Promise<Replaced> {
    return replaced(await this.#call('set-node-resource-capacity', { nodename: node, ...change }));
  }

  async setNodeResourceInfo(node: string, { capacity, usage }: KindNode): Promise<void> {
    (await this.#call('set-node-resource-info', { nodename: node, capacity, usage })).object();
  }

  async setNodeResourceUsage(
    node: string,
    change: Omit<Requests['set-node-resource-usage'], 'nodename'>,
  ): Promise<Replaced> {
    return replaced(await this.#call('set-node-resource-usage', { nodename: node, ...change }));
  }

  /** Makes the usage what these workloads hold; differences are those from before. */
  async fixNodeResource(node: string, workloads: readonly JsonObject[]): Promise<NodeInfo> {
    return info(await this.#call('fix-node-resource', { nodename: node, workloads_resource: workloads }));
  }

  #call<C extends Command>(command: C, request: Requests[C], signal?: AbortSignal): Promise<Answer> {
    const { name, path, folder, timeoutMs, admit, run = callProcess } = this.#options;
    const call = { plugin: name, command };
    return admit(async () => {
      const input = encode(request as unknown as Json);
      return Answer.parse(call, await run({ ...call, path, folder, input, timeoutMs, signal }));
    });
  }
}

function info(answer: Answer): NodeInfo {
  return {
    capacity: answer.field('capacity').object(),
    usage: answer.field('usage').object(),
    differences: texts(answer.field('diffs')),
  };
}

function replaced(answer: Answer): Replaced {
  return { before: answer.field('before').object(), after: answer.field('after').object() };
}

function texts(answer: Answer): string[] {
  return answer.list().map((each) => each.text());
}
