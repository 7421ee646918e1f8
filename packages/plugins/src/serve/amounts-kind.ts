import { EruError, isJsonObject, nearest, parseSize, type Json, type JsonObject } from '@eru/kit';
import type { KindDefinition, KindNode, Metric, MetricDescription, ResourceKind } from '@eru/scheduler';
import { combine, larger, leaves, zeros } from './arithmetic.ts';

/** A kind of which nodes have amounts and workloads take amounts: seats, bandwidth, tokens. */
export interface AmountsDefinition {
  readonly name: string;
  /** What there is, by name. Absent: whatever a node is given, also in nested objects. */
  readonly amounts?: Readonly<Record<string, Amount>>;
}

export interface Amount {
  /** For people who read metrics. */
  readonly help?: string | undefined;
  /** What a node has that is added without saying how much; default 0. Text may have a unit: `10G`. */
  readonly default?: number | string | undefined;
}

/**
 * The simplest kind: as many instances fit as each amount allows, and the engine is told what each one got. Requests of nodes
 * and of workloads, capacity, usage and bookings all have one form, amounts by name; text with a unit (`10G`) is a size.
 */
export function defineKind(definition: AmountsDefinition): KindDefinition {
  const { name, amounts } = definition;
  const read = (raw: JsonObject, signed = false): JsonObject => readAmounts(definition, raw, signed);
  const metricDescriptions: MetricDescription[] = ['capacity', 'used'].map((what) => ({
    name: `${name}_${what}`,
    help: help(definition, what),
    type: 'gauge',
    labels: ['podname', 'nodename', 'amount'],
  }));

  return (): ResourceKind<JsonObject, KindNode> => ({
    name,
    requestKeys: amounts === undefined ? 'any' : Object.keys(amounts),

    parse: (raw) => read(raw),
    normal: (request) => request,
    state: ({ resources }) => ({ capacity: resources.capacity[name] ?? {}, usage: resources.usage[name] ?? {} }),
    fingerprint: ({ capacity, usage }) => JSON.stringify([capacity, usage]),
    measure(node, request, measure) {
      const asked = leaves(request).filter(([, amount]) => amount > 0);
      const [total, used] = [new Map(leaves(node.capacity)), new Map(leaves(node.usage))];
      const has = (path: string): number => total.get(path) ?? 0;
      const uses = (path: string): number => used.get(path) ?? 0;
      const free = asked.map(([path, amount]) => Math.floor((has(path) - uses(path)) / amount + 1e-9));
      measure.count = Math.max(0, Math.min(...free));
      const seen = asked.length > 0 ? asked : [...total];
      measure.usage = mean(seen.map(([path]) => share(uses(path), has(path))));
      measure.rate = mean(asked.map(([path, amount]) => share(amount, has(path))));
      measure.weight = asked.length > 0 ? 1 : 0;
    },
    refuse(node, request) {
      const free = new Map(leaves(combine(node.capacity, node.usage, -1)));
      const lacking = leaves(request).find(([path, amount]) => amount > (free.get(path) ?? 0));
      const [path, needed] = lacking ?? ['nothing', 0];
      return { reason: `free ${name} ${path}`, needed, free: free.get(path) ?? 0, unit: 'number' };
    },
    allocate(_node, request, count) {
      const allotment = { resources: request, engineParams: request };
      return Array.from({ length: count }, () => allotment);
    },

    realloc(node, current, delta) {
      const next = read(combine(current, read(delta, true), 1));
      const free = new Map(leaves(combine(node.capacity, node.usage, -1)));
      const held = new Map(leaves(current));
      // What does not grow is never refused: a workload can always shrink.
      const lacking = leaves(next).find(([path, now]) => now > (held.get(path) ?? 0) && now > (free.get(path) ?? 0));
      if (lacking === undefined) return { resources: next, engineParams: next };
      const [path, needed] = lacking;
      return { reason: `free ${name} ${path}`, needed, free: free.get(path) ?? 0, unit: 'number' };
    },
    remap: () => new Map(),

    book: (usage, add, subtract) =>
      subtract.reduce(
        (left, part) => combine(left, part, -1),
        add.reduce((sum, part) => combine(sum, part, 1), usage),
      ),
    recount: ({ capacity }, workloads) => workloads.reduce((sum, part) => combine(sum, part, 1), zeros(capacity)),
    differences: ({ usage }, workloads) => {
      const sum = workloads.reduce((sum: JsonObject, part) => combine(sum, part, 1), {});
      return leaves(combine(usage, sum, -1))
        .filter(([, amount]) => amount !== 0)
        .map(
          ([path]) => `node.${name}[${path}] != sum(workload.${name}[${path}]): ${at(usage, path)} != ${at(sum, path)}`,
        );
    },
    larger,
    overruns: ({ capacity, usage }) =>
      leaves(usage)
        .filter(([path, used]) => used < 0 || used > at(capacity, path))
        .map(([path, used]) => `${path}: ${used} used of ${at(capacity, path)}`),

    addNode(request, machine) {
      const capacity = { ...defaults(definition), ...read(machine.resources[name] ?? {}), ...read(request) };
      return { capacity, usage: zeros(capacity) };
    },
    setCapacity({ capacity, usage }, request, delta) {
      const asked = read(request, delta);
      const next = read(delta ? combine(capacity, asked, 1) : { ...capacity, ...asked });
      return { capacity: next, usage: combine(zeros(next), usage, 1) };
    },
    metricDescriptions,
    metrics: (pod, node, { capacity, usage }) => {
      const metric = (what: string, path: string, value: number): Metric => ({
        name: `${name}_${what}`,
        labels: [pod, node, path],
        key: `core.node.${node.replaceAll('.', '_')}.${name}.${path}.${what}`,
        value: String(value),
      });
      return leaves(capacity).flatMap(([path, amount]) => [
        metric('capacity', path, amount),
        metric('used', path, at(usage, path)),
      ]);
    },
  });
}

/** @throws EruError `invalid` */
function readAmounts({ name, amounts }: AmountsDefinition, raw: JsonObject, signed: boolean): JsonObject {
  const read: JsonObject = {};
  for (const [key, value] of Object.entries(raw)) {
    const field = `${name}.${key}`;
    if (amounts !== undefined && !Object.hasOwn(amounts, key)) {
      const near = nearest(key, Object.keys(amounts));
      const remedy = near === undefined ? `there are ${Object.keys(amounts).join(', ')}` : `did you mean ${near}?`;
      throw new EruError('invalid', `${field}: unknown; ${remedy}`, { details: { field } });
    }
    if (value === null || value === '') continue;
    if (isJsonObject(value)) read[key] = readAmounts({ name: field }, value, signed);
    else read[key] = amounts === undefined ? readAnything(field, value, signed) : readAmount(field, value, signed);
  }
  return read;
}

/** Where nothing is declared, also what is no amount has a meaning to somebody. */
function readAnything(field: string, value: Json, signed: boolean): Json {
  const isSize = typeof value === 'string' && /^-?\d+(\.\d+)?\s*[bkmgtp]?(i?b)?$/i.test(value);
  return isSize || typeof value === 'number' ? readAmount(field, value, signed) : value;
}

function readAmount(field: string, value: Json, signed: boolean): number {
  const amount = typeof value === 'string' ? parseSize(value, field) : value;
  if (typeof amount === 'number' && Number.isFinite(amount) && (signed || amount >= 0)) return amount;
  throw new EruError(
    'invalid',
    `${field}: ${JSON.stringify(value)} is not allowed; write a number of at least 0, or a size such as 10G`,
    { details: { field } },
  );
}

function defaults({ name, amounts = {} }: AmountsDefinition): JsonObject {
  return Object.fromEntries(
    Object.entries(amounts).map(([key, amount]) => [
      key,
      readAmount(`${name}.${key}.default`, amount.default ?? 0, false),
    ]),
  );
}

function help({ name, amounts = {} }: AmountsDefinition, what: string): string {
  const helps = Object.entries(amounts).flatMap(([key, { help }]) => (help === undefined ? [] : [`${key}: ${help}`]));
  return [`${name} ${what}`, ...helps].join('; ');
}

function at(resources: JsonObject, path: string): number {
  return leaves(resources).find(([each]) => each === path)?.[1] ?? 0;
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

function share(part: number, whole: number): number {
  return part === 0 || whole === 0 ? 0 : part / whole;
}
