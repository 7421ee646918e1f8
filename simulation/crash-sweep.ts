import { EruError } from '@eru/kit';
import { controlWorkload, removeWorkload } from '@eru/core';

import type { Fate, AwaitPoint } from './mortal.ts';
import { World, type LivingCore } from './world.ts';

/** One operation to be disturbed at each of its awaits. `prepare` answers the workloads it works on. */
export interface Scenario {
  name: string;
  prepare(world: World, core: LivingCore): Promise<string[]>;
  /** Answers what its client was told exists (and what it was told is gone). */
  run(world: World, core: LivingCore, ids: readonly string[]): Promise<Told>;
}

interface Told {
  exists: string[];
  gone: string[];
}

export const scenarios: Scenario[] = [
  {
    name: 'create',
    prepare: () => Promise.resolve([]),
    run: async (world, core) => ({ exists: await create(world, core, 3), gone: [] }),
  },
  ...(['stop', 'start', 'restart'] as const).map((type): Scenario => ({
    name: type,
    prepare: (world, core) => create(world, core, 1),
    run: async (_world, { core }, ids) => {
      for (const id of ids)
        await controlWorkload(
          core.context,
          core.membership.current(),
          { id, type, force: false },
          new AbortController().signal,
        );
      return { exists: [...ids], gone: [] };
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
          { id, stop, force: !stop, graceMs: null },
          new AbortController().signal,
        );
        gone.push(id);
      }
      return { exists: [], gone };
    },
  })),
];

/** The awaits of an undisturbed run: as many disturbed runs follow. */
export async function countPoints(scenario: Scenario, seed: number): Promise<readonly AwaitPoint[]> {
  const { core } = await disturbed(scenario, seed, () => undefined);
  return core.mortal.points;
}

/** Runs a scenario, kills its core or fails one call at await `index`, recovers, and answers every broken invariant. */
export async function sweepOne(scenario: Scenario, seed: number, index: number, fate: Fate): Promise<string[]> {
  const { world, told } = await disturbed(scenario, seed, (at) => (at === index ? fate : undefined));
  if (fate === 'crash') {
    await world.reopenStore();
    await world.startCore();
  }
  await world.settle();
  const broken = await world.broken(told.exists);
  const { kvs } = await world.store.range({ prefix: 'workloads/', keysOnly: true });
  const left = new Set(kvs.map(({ key }) => key.slice('workloads/'.length)));
  return [
    ...broken,
    ...told.gone.filter((id) => left.has(id)).map((id) => `${id} was told to be gone and has a record`),
  ];
}

async function disturbed(
  scenario: Scenario,
  seed: number,
  fate: (index: number) => Fate | undefined,
): Promise<{ world: World; core: LivingCore; told: Told }> {
  const world = await World.create({ seed });
  const core = await world.startCore();
  const ids = await world.clock.run(scenario.prepare(world, core));
  core.mortal.fate = fate;
  core.mortal.count();
  const outcome = await world.clock.run(
    Promise.race([
      scenario.run(world, core, ids).catch((error: unknown): Told => {
        EruError.from(error);
        // The client was told that it failed: it may or may not have happened.
        return { exists: [], gone: [] };
      }),
      core.mortal.death().then((): Told => ({ exists: [], gone: [] })),
    ]),
  );
  return { world, core, told: outcome };
}

/** Answers the ids that the client was told of. */
async function create(world: World, core: LivingCore, count: number): Promise<string[]> {
  const ids: string[] = [];
  for await (const event of world.deploy(core, count)) {
    if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
    if (event.type === 'done' && event.error === undefined) ids.push(event.id);
  }
  return ids;
}
