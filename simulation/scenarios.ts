import { EruError } from '@eru/kit';
import type { EngineVerb } from '@eru/engines';
import {
  controlWorkload,
  dissociateWorkload,
  reallocWorkload,
  removeWorkload,
  replaceWorkload,
  rollWorkloads,
  workOn,
  type CreateRequest,
  type ReplaceRequest,
  type RollItem,
} from '@eru/core';

import type { LivingCore, World } from './world.ts';

/** One operation to be disturbed at each of its awaits. */
export interface Scenario {
  name: string;
  /** In a world with an external kind, which every workload asks for a seat. */
  external?: boolean;
  /** Answers the workloads it works on; none by default. */
  prepare?(world: World, core: LivingCore): Promise<string[]>;
  /** Answers what its client was told exists, and what it was told is gone. */
  run(world: World, core: LivingCore, ids: readonly string[]): Promise<Told>;
  /** What must hold afterwards besides the invariants, as sentences about what does not. */
  check?(world: World, ids: readonly string[]): Promise<string[]>;
}

export interface Told {
  exists: readonly string[];
  gone: readonly string[];
}

const never = new AbortController().signal;
const MiB = 2 ** 20;
const file = { contents: new Uint8Array([1, 2, 3]), mode: 0o644, uid: 0, gid: 0 };

const one = (world: World, core: LivingCore): Promise<string[]> => create(world, core, 1);

export const scenarios: Scenario[] = [
  { name: 'create', run: async (world, core) => ({ exists: await create(world, core, 3), gone: [] }) },
  {
    name: 'create with files and an image',
    run: async (world, core) => {
      const request = world.request(1);
      const template = { ...request.template, image: 'image' };
      return { exists: await create(world, core, 2, { template, files: new Map([['/etc/x', file]]) }), gone: [] };
    },
  },
  {
    name: 'create whose start is refused',
    run: async (world, core) => {
      refuse(world, 'start', 1);
      return { exists: await create(world, core, 3), gone: [] };
    },
  },
  {
    name: 'create with a key',
    run: async (world, core) => ({ exists: await create(world, core, 3, { request }), gone: [] }),
    check: (world) => resultOf(world, 3),
  },
  {
    name: 'create that nobody waits for',
    run: async (world, core) => ({ exists: await create(world, core, 3, { request, asynchronous: true }), gone: [] }),
    check: (world) => resultOf(world, 3),
  },
  {
    name: 'lambda',
    run: async (world, core) => {
      const template = { ...world.request(1).template, command: ['exit', '3'] };
      await create(world, core, 2, { template, lambda: { deadlineMs: 0, follow: undefined } });
      return { exists: [], gone: [] };
    },
    check: nothingLeft,
  },
  ...(['stop', 'start', 'restart', 'suspend', 'resume'] as const).map((type): Scenario => ({
    name: type,
    prepare: one,
    run: async (_world, { core }, ids) => {
      for (const id of ids)
        await controlWorkload(core.context, core.membership.current(), { id, type, force: false }, never);
      return { exists: ids, gone: [] };
    },
  })),
  ...[true, false].map((stop): Scenario => ({
    name: stop ? 'remove' : 'remove as on the old wire',
    prepare: (world, core) => create(world, core, 2),
    run: async (_world, { core }, ids) => {
      const gone: string[] = [];
      for (const id of ids) {
        await removeWorkload(
          core.context,
          core.membership.current(),
          { id, stop, force: !stop, graceMs: null, request: { ...request, key: id } },
          never,
        );
        gone.push(id);
      }
      return { exists: [], gone };
    },
  })),
  {
    name: 'dissociate',
    prepare: one,
    run: async (_world, { core }, ids) => {
      for (const id of ids) await dissociateWorkload(core.context, core.membership.current(), { id }, never);
      return { exists: [], gone: ids };
    },
  },
  {
    name: 'send',
    prepare: one,
    run: async (_world, { core }, ids) => {
      for (const id of ids)
        await workOn(
          core.context,
          core.membership.current(),
          { id, kind: 'send', what: '/x', work: (engine) => engine.kill(id, 'SIGHUP') },
          never,
        );
      return { exists: ids, gone: [] };
    },
  },
  { name: 'realloc', prepare: one, run: realloc },
  {
    name: 'realloc that the engine refuses',
    prepare: one,
    run: (world, core, ids) => {
      refuse(world, 'update', 1);
      return realloc(world, core, ids);
    },
  },
  { name: 'replace in place', prepare: one, run: (world, core, ids) => replace(world, core, ids, {}), check: oneRuns },
  {
    name: 'replace in place whose new one does not start',
    prepare: one,
    run: (world, core, ids) => {
      refuse(world, 'start', 1);
      return replace(world, core, ids, { request });
    },
    check: async (world, ids) => [...(await oneRuns(world)), ...(await replacedAsTold(world, ids))],
  },
  {
    name: 'replace with overlap',
    prepare: one,
    run: (world, core, ids) => replace(world, core, ids, { overlap: world.request(1).resources }),
    check: oneRuns,
  },
  {
    name: 'replace with overlap behind a gate that stays shut',
    prepare: one,
    run: (world, core, ids) => replace(world, core, ids, { overlap: world.request(1).resources, gateMs: 5000 }),
    check: oneRuns,
  },
  {
    name: 'roll',
    prepare: (world, core) => create(world, core, 2),
    run: (world, core, ids) => roll(world, core, ids, 1),
    check: (world, ids) => rolledAsTold(world, ids),
  },
  {
    name: 'roll, two at once, of which one does not start',
    prepare: (world, core) => create(world, core, 3),
    run: (world, core, ids) => {
      watchTries(world);
      refuse(world, 'start', 1);
      return roll(world, core, ids, 2);
    },
  },
  {
    name: 'roll whose first new one does not start',
    prepare: (world, core) => create(world, core, 2),
    run: (world, core, ids) => {
      refuse(world, 'start', 1);
      return roll(world, core, ids, 1);
    },
    check: stopsAtTheFirst,
  },
];

/** Two at once on the same workload, and so on the same node, each at a core of its own if there are two. */
const pairs = [
  ['realloc', 'realloc'],
  ['realloc', 'replace in place'],
  ['replace in place', 'replace with overlap'],
  ['replace with overlap', 'remove'],
  ['replace in place', 'create'],
  ['dissociate', 'restart'],
  ['remove', 'realloc'],
  ['stop', 'remove as on the old wire'],
  ['send', 'replace in place'],
] as const;

/** Only what is gone for good is sure when both have ended. */
export function pairOf(first: Scenario, second: Scenario): Scenario {
  return {
    name: `${first.name} and ${second.name}`,
    prepare: one,
    run: async (world, core, ids) => {
      const other = world.cores.find((living) => living !== core) ?? core;
      const outcomes = await Promise.allSettled([first.run(world, core, ids), second.run(world, other, ids)]);
      const told = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
      return { exists: [], gone: told.flatMap(({ gone }) => gone) };
    },
  };
}

export const pairScenarios: Scenario[] = pairs.map(([first, second]) => pairOf(scenarioOf(first), scenarioOf(second)));

export function scenarioOf(name: string): Scenario {
  const found = scenarios.find((scenario) => scenario.name === name);
  if (found === undefined) throw new EruError('internal', `no scenario is called ${name}`);
  return found;
}

const request = { key: 'key', digest: 'digest' };

/** Answers the ids that the client was told of. */
async function create(
  world: World,
  core: LivingCore,
  count: number,
  more: Partial<CreateRequest> = {},
): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of world.deploy(core, count, more)) {
    if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
    if (event.type === 'done' && event.error === undefined) ids.push(event.id);
  }
  return ids;
}

async function realloc({ kinds }: World, { core }: LivingCore, ids: readonly string[]): Promise<Told> {
  const resources = {
    cpumem: { 'memory-request': 64 * MiB, 'memory-limit': 64 * MiB, 'keep-cpu-bind': true },
    ...(kinds !== undefined && { seats: { n: 1 } }),
  };
  for (const id of ids) await reallocWorkload(core.context, core.membership.current(), { id, resources }, never);
  return { exists: ids, gone: [] };
}

async function replace(
  world: World,
  { core }: LivingCore,
  ids: readonly string[],
  more: Partial<ReplaceRequest>,
): Promise<Told> {
  const told: { exists: string[]; gone: string[] } = { exists: [], gone: [] };
  for (const [sequence, id] of ids.entries()) {
    const { record } = await replaceWorkload(
      core.context,
      core.membership.current(),
      { ...replacement(world), id, sequence, ...more },
      never,
    );
    told.exists.push(record?.id ?? id);
    if (record !== undefined) told.gone.push(id);
  }
  return told;
}

export function replacement(world: World): Omit<ReplaceRequest, 'id' | 'sequence'> {
  return {
    instance: world.request(1),
    inheritNetworks: false,
    copy: new Map(),
    overlap: undefined,
    gateMs: 0,
    needsImage: false,
  };
}

async function roll(world: World, { core }: LivingCore, ids: readonly string[], window: number): Promise<Told> {
  const told: { exists: string[]; gone: string[] } = { exists: [], gone: [] };
  const olds = ids.flatMap((id) => core.context.view.workloads.get(id)?.value ?? []);
  await rollWorkloads(
    core.context,
    core.membership.current(),
    { olds, window, replace: replacement(world), request },
    never,
    ({ id, made }) => {
      told.exists.push(made?.id ?? id);
      if (made !== undefined) told.gone.push(id);
    },
  );
  return told;
}

/** The machines refuse the next calls of a verb. */
function refuse(world: World, verb: EngineVerb, times: number): void {
  let left = times;
  for (const machine of world.machines.values())
    machine.faults = (called, phase) => {
      if (called !== verb || phase !== 'before' || left === 0) return;
      left -= 1;
      throw new EruError('failed', `simulated: ${verb} is refused`);
    };
}

export async function recordIds(world: World): Promise<string[]> {
  const { kvs } = await world.store.range({ prefix: 'workloads/', keysOnly: true });
  return kvs.map(({ key }) => key.slice('workloads/'.length));
}

async function nothingLeft(world: World): Promise<string[]> {
  return (await recordIds(world)).map((id) => `${id} is left`);
}

/** Whatever happened, one of the two is there, and runs. */
/** One, with the address that the first one on its machine was given. */
async function oneRuns(world: World): Promise<string[]> {
  const objects = [...world.machines.values()].flatMap((machine) => machine.workloads());
  const running = objects.filter(({ state }) => state === 'running');
  if (running.length !== 1 || objects.length !== 1) return [`${running.length} of ${objects.length} objects run`];
  const address = running[0]?.networks['bridge'] ?? 'none';
  return address === '172.17.0.2' ? [] : [`its address was 172.17.0.2, and is ${address}`];
}

/** Who asks again with the key is told of the one that is there. */
async function replacedAsTold(world: World, [old = '']: readonly string[]): Promise<string[]> {
  const kv = await world.store.get('requests/key');
  if (kv === undefined) return [];
  const { result } = JSON.parse(new TextDecoder().decode(kv.value)) as { result: { id: string; error: string }[] };
  const left = await recordIds(world);
  return result
    .filter(({ id, error }) => !left.includes(error === '' ? id : old) || (error === '' && id === old))
    .map((outcome) => `the result is ${JSON.stringify(outcome)}, and ${left.join()} is left of ${old}`);
}

/** Of each old one the result says whether it or a new one is there, and no list ends early because its core died. */
async function rolledAsTold(world: World, olds: readonly string[]): Promise<string[]> {
  const kv = await world.store.get('requests/key');
  const left = await recordIds(world);
  if (kv === undefined) return left.length === olds.length ? [] : [`${left.length} are left of ${olds.length}`];
  const { result } = JSON.parse(new TextDecoder().decode(kv.value)) as { result: Rolled[] | null };
  if (result?.length !== olds.length) return [`the result speaks of ${result?.length ?? 'no'} workloads`];
  return result.flatMap(({ id, error, old }) => [
    ...(left.includes(old.id) === (error !== '') && left.includes(id) === (error === '')
      ? []
      : [`the result says ${JSON.stringify({ id, error, old })}, and there are ${left.join()}`]),
    ...(/died|canceled/.test(error) ? [`${old.id} was given up: ${error}`] : []),
  ]);
}

/** Tells when a replace of a roll is tried once more after the header has told of one that failed. */
function watchTries(world: World): void {
  let failed = false;
  world.onTransaction = ({ then }) => {
    for (const write of then) {
      if (write.op !== 'put') continue;
      if (failed && /^requests\/.+\/[1-9]\d*$/.test(write.key)) {
        const { result } = JSON.parse(new TextDecoder().decode(write.value)) as { result: unknown };
        if (result === null) world.violations.add(`${write.key} was begun after one had failed`);
      }
      if (!/^operations\/[^/]+$/.test(write.key)) continue;
      const { items = [] } = JSON.parse(new TextDecoder().decode(write.value)) as { items?: RollItem[] };
      failed ||= items.some(({ step, error }) => step === 'end' && error !== '');
    }
  };
}

/** After one that was refused, not because a core died, no further one is begun. */
async function stopsAtTheFirst(world: World): Promise<string[]> {
  const kv = await world.store.get('requests/key');
  if (kv === undefined) return [];
  const { result } = JSON.parse(new TextDecoder().decode(kv.value)) as { result: Rolled[] | null };
  const [first, second] = result ?? [];
  if (first === undefined || second === undefined) return ['the result does not speak of both'];
  return first.error !== '' && second.error === '' ? [`${second.old.id} was replaced after one had failed`] : [];
}

interface Rolled {
  id: string;
  error: string;
  old: { id: string };
}

/** Who asks again with the key is told of every instance; when the key has an operation at all. */
async function resultOf(world: World, count: number): Promise<string[]> {
  const kv = await world.store.get('requests/key');
  if (kv === undefined) return [];
  const { result } = JSON.parse(new TextDecoder().decode(kv.value)) as { result: { id: string }[] | null };
  const left = new Set(await recordIds(world));
  const made = result?.filter(({ id }) => id !== '') ?? [];
  if (result?.length !== count) return [`the result speaks of ${result?.length ?? 'no'} instances`];
  if (made.length !== left.size) return [`the result speaks of ${made.length} workloads, and there are ${left.size}`];
  return made.filter(({ id }) => !left.has(id)).map(({ id }) => `the result speaks of ${id}, which has no record`);
}
