import { EruError, isJsonObject, limitConcurrency, stableStringify, type JsonObject } from '@eru/kit';
import type { KindNode, Measure, ResourceKind } from '@eru/scheduler';
import { readMachine } from '../machine.ts';
import { encode, field } from '../wire.ts';
import { combine, difference } from './arithmetic.ts';
import type { NodeFiles } from './node-files.ts';
import type { ServedKind } from './planner.ts';
import { countIn, nodeNameIn, nodeNamesIn, objectIn, objectsIn, optionalObject, parseInput } from './request.ts';

/**
 * One call of the binary plugin protocol (reference/scheduling.md section 2) from the plugin's side: what it reads, and what
 * it prints. @throws EruError with the original's texts where there is one; the process prints it and ends with 128
 */
export async function serve(served: ServedKind, files: NodeFiles, command: string, input: string): Promise<string> {
  const run = Object.hasOwn(commands, command) ? commands[command] : undefined;
  if (run === undefined)
    throw new EruError('invalid', `unknown command ${command}; there are ${Object.keys(commands).join(', ')}`);
  return encode(await run({ served, files, request: parseInput(input) }));
}

interface Call {
  readonly served: ServedKind;
  readonly files: NodeFiles;
  readonly request: JsonObject;
}

const commands: Readonly<Record<string, (call: Call) => Promise<unknown>>> = {
  name: async ({ served }) => served.kind.name,

  async 'calculate-deploy'(call) {
    const node = nodeNameIn(call.request);
    const part = await record(call, node);
    const count = countIn(call.request, 'deploy_count');
    const request = objectIn(call.request, 'workload_resource_request');
    const allotments = count === 0 ? [] : await call.served.planner.deploy(node, part, request, count);
    return {
      engines_params: allotments.map(({ engineParams }) => engineParams),
      workloads_resource: allotments.map(({ resources }) => resources),
    };
  },

  async 'calculate-realloc'(call) {
    const node = nodeNameIn(call.request);
    const part = await record(call, node);
    const current = objectIn(call.request, 'workload_resource');
    const request = objectIn(call.request, 'workload_resource_request');
    const { resources, engineParams } = await call.served.planner.realloc(node, part, current, request);
    return {
      engine_params: engineParams,
      delta_resource: delta(call.served, part, current, resources),
      workload_resource: resources,
    };
  },

  async 'calculate-remap'(call) {
    const workloads = Object.entries(objectIn(call.request, 'workloads_resource')).map(
      ([id, part]): [string, JsonObject] => [id, isJsonObject(part) ? part : {}],
    );
    if (workloads.length === 0) return { engine_params_map: {} };
    const part = await record(call, nodeNameIn(call.request));
    return { engine_params_map: Object.fromEntries(call.served.kind.remap(part, new Map(workloads))) };
  },

  async 'add-node'(call) {
    const node = nodeNameIn(call.request);
    let added: KindNode = { capacity: {}, usage: {} };
    await call.files.change(node, async (before) => {
      if (before !== undefined) throw new EruError('exists', 'node already exists');
      added = call.served.kind.addNode(objectIn(call.request, 'resource'), readMachine(objectIn(call.request, 'info')));
      return added;
    });
    return { capacity: added.capacity, usage: added.usage };
  },

  async 'remove-node'(call) {
    await call.files.change(nodeNameIn(call.request), async () => undefined);
    return {};
  },

  async 'get-nodes-deploy-capacity'(call) {
    const names = nodeNamesIn(call.request);
    const nodes = await records(call, names);
    const rooms = await call.served.planner.capacity(nodes, objectIn(call.request, 'workload_resource'));
    const open = [...rooms].filter(([, { count }]) => count > 0);
    return {
      nodes_deploy_capacity_map: Object.fromEntries(
        open.map(([node, { count, usage, rate, weight }]) => [
          node,
          { Capacity: count, Usage: usage, Rate: rate, Weight: weight },
        ]),
      ),
      total: open.reduce((total, [, { count }]) => total + count, 0),
    };
  },

  async 'set-node-resource-capacity'(call) {
    const { before, after } = await change(call, (node) => ({ ...node, capacity: newCapacity(call, node) }));
    return { before: before.capacity, after: after.capacity };
  },

  async 'get-node-resource-info'(call) {
    const part = await record(call, nodeNameIn(call.request));
    return { ...part, diffs: call.served.kind.differences(part, objectsIn(call.request, 'workloads_resource')) };
  },

  async 'set-node-resource-info'(call) {
    const given = { capacity: objectIn(call.request, 'capacity'), usage: objectIn(call.request, 'usage') };
    const node = checked(call, given);
    await call.files.change(nodeNameIn(call.request), async () => node);
    return {};
  },

  async 'set-node-resource-usage'(call) {
    const { before, after } = await change(call, (node) => ({ ...node, usage: newUsage(call, node) }));
    return { before: before.usage, after: after.usage };
  },

  async 'get-most-idle-node'(call) {
    const { kind } = call.served;
    const nodes = await records(call, nodeNamesIn(call.request));
    const shares = [...nodes].map(([name, node]) => ({ name, share: usedShare(kind, name, node) }));
    const idlest = shares.reduce((least, each) => (each.share < least.share ? each : least));
    return { nodename: idlest.name, priority: 100 };
  },

  async 'fix-node-resource'(call) {
    const { kind } = call.served;
    const workloads = objectsIn(call.request, 'workloads_resource');
    const { before, after } = await change(call, (node) =>
      kind.differences(node, workloads).length === 0 ? node : { ...node, usage: kind.recount(node, workloads) },
    );
    return { ...after, diffs: kind.differences(before, workloads) };
  },

  'get-metrics-description': async ({ served }) => served.kind.metricDescriptions,

  async 'get-metrics'(call) {
    const node = nodeNameIn(call.request);
    return call.served.kind.metrics(podName(call), node, await record(call, node));
  },
};

/** @throws EruError `not_found`, with the original's text */
async function record({ served, files }: Pick<Call, 'served' | 'files'>, node: string): Promise<KindNode> {
  return known(served, node, await files.read(node));
}

/** Of as many nodes as a fleet has, so not all files at once. */
async function records(call: Call, names: readonly string[]): Promise<Map<string, KindNode>> {
  const limit = limitConcurrency(64);
  return new Map(await Promise.all(names.map((name) => limit(async () => [name, await record(call, name)] as const))));
}

function known({ kind }: ServedKind, node: string, part: KindNode | undefined): KindNode {
  if (part !== undefined) return part;
  throw new EruError('not_found', `key: /resource/${kind.name}/${node}: bad \`Count\` value, entity count invalid`);
}

/** Changes one node, alone; what comes out is checked by the kind. */
async function change(
  call: Call,
  make: (before: KindNode) => KindNode,
): Promise<{ readonly before: KindNode; readonly after: KindNode }> {
  const name = nodeNameIn(call.request);
  let result: { before: KindNode; after: KindNode } | undefined;
  await call.files.change(name, async (stored) => {
    const before = known(call.served, name, stored);
    const after = checked(call, make(before));
    result = { before, after };
    return after;
  });
  return result as NonNullable<typeof result>;
}

/** A capacity request that asks for nothing leaves a node as it is, in its normal form, or says what is wrong with it. */
function checked({ served }: Call, node: KindNode): KindNode {
  return served.kind.setCapacity(node, {}, true);
}

interface Source {
  /** In the operator's form. */
  readonly asked: JsonObject | undefined;
  /** In stored form. */
  readonly resource: JsonObject | undefined;
  readonly isDelta: boolean;
  readonly sign: 1 | -1;
}

/** Of several sources one counts; what replaces is never subtracted. */
function sourceOf({ request }: Call): Source {
  const isDelta = field(request, 'delta') === true;
  return {
    asked: optionalObject(request, 'resource_request'),
    resource: optionalObject(request, 'resource'),
    isDelta,
    sign: isDelta && field(request, 'incr') !== true ? -1 : 1,
  };
}

function newCapacity(call: Call, node: KindNode): JsonObject {
  const { asked, resource, isDelta, sign } = sourceOf(call);
  if (asked !== undefined && sign === 1) return call.served.kind.setCapacity(node, asked, isDelta).capacity;
  if (asked !== undefined) return combine(node.capacity, addedBy(call, node, asked), -1);
  return isDelta ? combine(node.capacity, resource ?? {}, sign) : (resource ?? {});
}

function newUsage(call: Call, node: KindNode): JsonObject {
  const { kind } = call.served;
  const { asked, resource, isDelta, sign } = sourceOf(call);
  const start = isDelta ? node.usage : kind.recount(node, []);
  if (asked !== undefined) return combine(start, addedBy(call, node, asked), sign);
  if (resource !== undefined) return isDelta ? combine(start, resource, sign) : resource;
  const { added, subtracted } = changesOf(objectsIn(call.request, 'workloads_resource'), sign);
  const usage = kind.book(start, added, subtracted);
  if (isDelta && sign === 1) refuseOverrun(kind, node, usage);
  return usage;
}

/** Two who planned on the same room do not both get it. A node that holds too much already is no reason to refuse others. */
function refuseOverrun(kind: ResourceKind, node: KindNode, usage: JsonObject): void {
  const before = kind.overruns(node);
  const overrun = kind.overruns({ ...node, usage }).find((line) => !before.includes(line));
  if (overrun !== undefined) throw new EruError('no_capacity', `${overrun}: cannot alloc a plan, not enough resource`);
}

/** A request in the operator's form as amounts in stored form: what it would add to this node. */
function addedBy({ served: { kind } }: Call, node: KindNode, asked: JsonObject): JsonObject {
  const idle = { ...node, usage: kind.recount(node, []) };
  return difference(kind.setCapacity(idle, asked, true).capacity, node.capacity);
}

function usedShare(kind: ResourceKind, name: string, { capacity, usage }: KindNode): number {
  const measure: Measure = { count: 0, usage: 0, rate: 0, weight: 0 };
  const resources = { capacity: { [kind.name]: capacity }, usage: { [kind.name]: usage } };
  kind.measure(kind.state({ name, labels: {}, resources }), kind.parse({}), measure);
  return measure.usage;
}

function podName({ request }: Call): string {
  const name = field(request, 'podname');
  return typeof name === 'string' ? name : '';
}

/** Where the difference of two bookings cannot be added as amounts (devices with a name), the delta carries both. */
const changeKey = 'eru-change';

function delta({ kind }: ServedKind, { usage }: KindNode, current: JsonObject, next: JsonObject): JsonObject {
  const amounts = difference(next, current);
  const exact = stableStringify(kind.book(usage, [next], [current]));
  if (stableStringify(kind.book(usage, [amounts], [])) === exact) return amounts;
  return { ...amounts, [changeKey]: { from: current, to: next } };
}

function changesOf(workloads: readonly JsonObject[], sign: 1 | -1): { added: JsonObject[]; subtracted: JsonObject[] } {
  const [added, subtracted]: [JsonObject[], JsonObject[]] = [[], []];
  for (const workload of workloads) {
    const both = workload[changeKey];
    if (isJsonObject(both)) {
      added.push(both['to'] as JsonObject);
      subtracted.push(both['from'] as JsonObject);
    } else added.push(workload);
  }
  return sign === 1 ? { added, subtracted } : { added: subtracted, subtracted: added };
}
