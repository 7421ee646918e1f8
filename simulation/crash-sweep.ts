import { EruError } from '@eru/kit';

import type { AwaitPoint, Fate } from './mortal.ts';
import { recordIds, type Scenario, type Told } from './scenarios.ts';
import { World, type LivingCore, type WorldOptions } from './world.ts';

/** The awaits of an undisturbed run: as many disturbed runs follow. */
export async function countPoints(scenario: Scenario, seed: number): Promise<readonly AwaitPoint[]> {
  const { core, world, ids, told } = await disturbed(scenario, seed, () => undefined);
  const points = [...core.mortal.points];
  const broken = await brokenAfter(scenario, world, ids, told);
  if (broken.length > 0) throw new EruError('internal', `undisturbed: ${broken.join('; ')}`);
  return points;
}

/**
 * What happens at one await. With `succession`, `sleep` and `partition` another core lives, which has to wait for the end of the lease:
 * the first is dead, or wakes up when all that it knows is past, or hears of it late. With `cut` the only core has no way to the store
 * until long after its lease.
 */
export const disturbances = ['crash', 'error', 'succession', 'sleep', 'cut', 'partition'] as const;
export type Disturbance = (typeof disturbances)[number];

const fates: Readonly<Record<Disturbance, { fate: Fate; two: boolean }>> = {
  crash: { fate: 'crash', two: false },
  error: { fate: 'error', two: false },
  succession: { fate: 'crash', two: true },
  sleep: { fate: 'sleep', two: true },
  cut: { fate: 'cut', two: false },
  partition: { fate: 'cut', two: true },
};

/** Calls that change nothing: an error after one is the same as before it. */
const reads = /^(store\.(get|range)|engine\.(inspect|list|wait|info)|kinds\.(ask|allot|info))$/;

/**
 * The awaits at which a disturbance makes a difference of its own. Who dies or is cut off before a call might as well have died after the
 * one before it; who sleeps does so before he does something.
 */
function awaitsFor(points: readonly AwaitPoint[], disturbance: Disturbance): number[] {
  return [...points.entries()].flatMap(([index, { call, phase }]) => {
    const changes = !reads.test(call);
    if (disturbance === 'error') return phase === 'before' || changes ? index : [];
    if (disturbance === 'sleep') return phase === 'before' && changes ? index : [];
    return index === 0 || (phase === 'after' && changes) ? index : [];
  });
}

export interface SweepOptions extends Pick<WorldOptions, 'fence' | 'look'> {
  /** Only each n-th of the awaits; default all. */
  every?: number;
}

/** Disturbs a scenario at its awaits, one run for each; answers what is broken, with where that was. */
export async function sweep(
  scenario: Scenario,
  seed: number,
  disturbance: Disturbance,
  { every = 1, ...options }: SweepOptions = {},
): Promise<string[]> {
  const points = await countPoints(scenario, seed);
  const broken = points.length < 4 ? [`only ${points.length} awaits were seen`] : [];
  for (const [nth, index] of awaitsFor(points, disturbance).entries()) {
    if (nth % every !== 0) continue;
    const { call, phase } = points[index] as AwaitPoint;
    for (const sentence of await sweepOne(scenario, seed, index, disturbance, options))
      broken.push(`${disturbance} at ${index}, ${phase} ${call}: ${sentence}`);
  }
  return broken;
}

/** Runs a scenario, disturbs its core at await `index`, recovers, and answers every broken invariant. */
export async function sweepOne(
  scenario: Scenario,
  seed: number,
  index: number,
  disturbance: Disturbance,
  options: Pick<WorldOptions, 'fence' | 'look'> = {},
): Promise<string[]> {
  const { fate, two } = fates[disturbance];
  const at = (point: number): Fate | undefined => (point === index ? fate : undefined);
  const { world, ids, told } = await disturbed(scenario, seed, at, { ...options, two });
  if (disturbance === 'crash') {
    await world.reopenStore();
    await world.startCore();
  }
  return brokenAfter(scenario, world, ids, told);
}

async function brokenAfter(scenario: Scenario, world: World, ids: readonly string[], told: Told): Promise<string[]> {
  await world.settle();
  const broken = await world.broken(told.exists);
  const left = new Set(await recordIds(world));
  return [
    ...world.violations,
    ...broken,
    ...told.gone.filter((id) => left.has(id)).map((id) => `${id} was told to be gone and has a record`),
    ...((await scenario.check?.(world, ids)) ?? []),
  ];
}

async function disturbed(
  scenario: Scenario,
  seed: number,
  fate: (index: number) => Fate | undefined,
  { two = false, ...options }: Pick<WorldOptions, 'fence' | 'look'> & { two?: boolean } = {},
): Promise<{ world: World; core: LivingCore; ids: readonly string[]; told: Told }> {
  const world = await World.create({ seed, external: scenario.external === true, ...options });
  const core = await world.startCore();
  if (two) await world.startCore();
  const ids = (await world.clock.run(scenario.prepare?.(world, core) ?? Promise.resolve([]))) as readonly string[];
  core.mortal.fate = fate;
  core.mortal.count();
  const told = await world.clock.run(
    Promise.race([
      scenario.run(world, core, ids).catch((error: unknown): Told => {
        EruError.from(error);
        // The client was told that it failed: it may or may not have happened.
        return { exists: [], gone: [] };
      }),
      core.mortal.death().then((): Told => ({ exists: [], gone: [] })),
    ]),
  );
  return { world, core, ids, told };
}
