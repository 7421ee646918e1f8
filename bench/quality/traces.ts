import { seededRandom, type Random } from '@eru/kit';
import { volumeBytes, type Shape, type Wish } from './shapes.ts';

/** What the fleet is told, one after the other; the same for every planner, whatever it could not place. */
export type Step =
  | {
      readonly type: 'create';
      /** One per instance. */
      readonly ids: readonly number[];
      /** AUTO levels the instances of one app. */
      readonly app: number;
      readonly strategy: 'AUTO' | 'GLOBAL' | 'DRAINED';
      readonly wish: Wish;
    }
  | { readonly type: 'remove'; readonly id: number }
  /** To other amounts, in place; bound stays bound. */
  | { readonly type: 'realloc'; readonly id: number; readonly wish: Wish };

const apps = 24;
/** Of all instances, these change their size once in their life. */
const resized = 0.2;

/**
 * A life of a fleet: deploys arrive at random, each instance lives for a random time, some change their size on the way.
 * The mean life is chosen so that the shape's load is asked for at any time, once the fleet has filled. Same shape, same seed,
 * same trace.
 */
export function trace(shape: Shape, length: number, seed: number): Step[] {
  const random = seededRandom(seed);
  const meanLife = meanLifeFor(shape);
  const meanFactor = weightedMean(shape.lives, ({ factor }) => factor);
  const timed: { readonly at: number; readonly step: Step }[] = [];
  let now = 0;
  let id = 0;
  // Half of the steps are creates at most, so that this many deploys are more than enough.
  for (let deploys = 0; deploys < length; deploys += 1) {
    now += exponential(random);
    const wish = draw(random, shape.mix);
    const ids = Array.from({ length: instances(random) }, () => id++);
    timed.push({ at: now, step: { type: 'create', ids, app: random.int(apps), strategy: strategy(random), wish } });
    for (const instance of ids) {
      const { factor } = draw(random, shape.lives);
      const life = (exponential(random) * meanLife * factor) / meanFactor;
      timed.push({ at: now + life, step: { type: 'remove', id: instance } });
      if (random.next() >= resized) continue;
      const others = shape.mix.filter((other) => other.bind === wish.bind && other !== wish);
      if (others.length === 0) continue;
      const next = draw(random, others);
      timed.push({ at: now + life * random.next(), step: { type: 'realloc', id: instance, wish: next } });
    }
  }
  // Stable, so that equal times keep the order in which they were made.
  return timed
    .sort((a, b) => a.at - b.at)
    .slice(0, length)
    .map(({ step }) => step);
}

/** Deploys arrive once per unit of time; what they ask for over a mean life is what is there at any time. */
function meanLifeFor({ machine, machines, mix, load }: Shape): number {
  const perDeploy = weightedMean(instanceCounts, ({ count }) => count);
  const cores = weightedMean(mix, ({ bind, cpu }) => (bind ? cpu : 0)) / (machine.cores * machines);
  const memory = weightedMean(mix, (wish) => wish.memory) / (machine.memory * machines);
  const onDisk = Object.values(machine.volumes ?? {}).reduce((sum, bytes) => sum + bytes, 0);
  const disks = onDisk === 0 ? 0 : weightedMean(mix, volumeBytes) / (onDisk * machines);
  return load / (perDeploy * Math.max(cores, memory, disks));
}

const instanceCounts = [
  { weight: 70, count: 1 },
  { weight: 15, count: 2 },
  { weight: 10, count: 3 },
  { weight: 5, count: 6 },
];

function instances(random: Random): number {
  return draw(random, instanceCounts).count;
}

function strategy(random: Random): 'AUTO' | 'GLOBAL' | 'DRAINED' {
  const drawn = random.int(100);
  return drawn < 60 ? 'AUTO' : drawn < 80 ? 'GLOBAL' : 'DRAINED';
}

function exponential(random: Random): number {
  return -Math.log(1 - random.next());
}

function draw<T extends { readonly weight: number }>(random: Random, choices: readonly T[]): T {
  let rest = random.next() * choices.reduce((sum, { weight }) => sum + weight, 0);
  for (const choice of choices) {
    rest -= choice.weight;
    if (rest < 0) return choice;
  }
  return choices.at(-1) as T;
}

function weightedMean<T extends { readonly weight: number }>(
  choices: readonly T[],
  value: (choice: T) => number,
): number {
  const [sum, weights] = choices.reduce(
    ([sum, weights], choice) => [sum + choice.weight * value(choice), weights + choice.weight],
    [0, 0],
  );
  return sum / weights;
}
