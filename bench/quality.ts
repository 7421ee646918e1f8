import { mean, nodesFor, placedBeforeRefusal, play, type Figures, type Played } from './quality/play.ts';
import { ourSubject } from './quality/ours.ts';
import { keepingSubject, referenceSubject } from './quality/reference.ts';
import { shapes, type Shape, type Wish } from './quality/shapes.ts';
import type { SubjectMaker } from './quality/subject.ts';
import { trace } from './quality/traces.ts';
import type { Bench, Better, Row } from './table.ts';

const seed = 1;

/**
 * Seeded lives of a fleet, ours against the reference's algorithm, which remembers what did not change to be done in time; and
 * against the same under our obligation, to keep on realloc the cores that need not move.
 */
export const qualityBench: Bench = {
  name: 'quality',
  *run({ quick }) {
    for (const shape of shapes) yield quick ? measure(shape, 11_000, 10) : measure(shape, 110_000, 20);
  },
};

const figures: readonly {
  readonly name: keyof Figures;
  readonly what: string;
  readonly unit: string;
  readonly better: Better;
}[] = [
  { name: 'placed', what: 'instances placed', unit: '%', better: 'more' },
  { name: 'placedCores', what: 'instances placed, by cores', unit: '%', better: 'more' },
  { name: 'resized', what: 'reallocs granted', unit: '%', better: 'more' },
  { name: 'strandedBest', what: 'stranded: of no use to any request', unit: '% of free pieces', better: 'less' },
  { name: 'strandedMean', what: 'stranded for the mean request', unit: '% of free pieces', better: 'less' },
  { name: 'insideNuma', what: 'bound inside one NUMA node', unit: '%', better: 'more' },
];

const yardsticks: readonly { readonly aspect: string; readonly make: SubjectMaker }[] = [
  { aspect: 'as it is:', make: referenceSubject },
  { aspect: 'keeping cores:', make: keepingSubject },
];

/** `length` steps of one life, and the beginnings of `fills` others. */
function measure(shape: Shape, length: number, fills: number): Row[] {
  const steps = trace(shape, length, seed);
  const ours = play(shape, steps, ourSubject);
  const others = yardsticks.map(({ aspect, make }) => ({ aspect, played: play(shape, steps, make) }));
  const [reference] = others.map(({ played }) => played) as [Played];
  const sets = ours.living.map((living, part) => inBoth(living, reference.living[part] as ReadonlyMap<number, Wish>));
  const nodesOfAll = (make: SubjectMaker): number =>
    sets.reduce((sum, wishes) => sum + nodesFor(shape, wishes, make), 0);
  const row = (what: string, unit: string, better: Better, value: number, yardstick: number): Row =>
    compare(shape, what, unit, better, value, yardstick);
  return [
    firstRefusal(shape, fills),
    ...figures.flatMap(({ name, what, unit, better }) => {
      const value = ours.figures[name];
      if (value.length === 0) return [];
      return others.map(({ aspect, played }): Row => {
        const yardstick = played.figures[name];
        const noise = 100 * noiseOf(value.map((one, part) => one - (yardstick[part] as number)));
        return { ...row(what, unit, better, 100 * mean(value), 100 * mean(yardstick)), aspect, noise };
      });
    }),
    row(
      `nodes that hold the same ${sets.length} sets`,
      'nodes',
      'less',
      nodesOfAll(ourSubject),
      nodesOfAll(referenceSubject),
    ),
    row('time to plan and book', 's', 'less', ours.seconds, reference.seconds),
    ...faults(shape, 'ours', ours),
    ...others.flatMap(({ aspect, played }) => faults(shape, `the reference, ${aspect}`, played)),
  ];
}

function firstRefusal(shape: Shape, fills: number): Row {
  const traces = Array.from({ length: fills }, (_, fill) => trace(shape, 10_000, seed + 1 + fill));
  const ours = traces.map((steps) => placedBeforeRefusal(shape, steps, ourSubject));
  const reference = traces.map((steps) => placedBeforeRefusal(shape, steps, referenceSubject));
  const noise = noiseOf(ours.map((placed, fill) => placed - (reference[fill] as number)));
  return {
    ...compare(shape, 'placed before the first refusal', 'instances', 'more', mean(ours), mean(reference)),
    noise,
  };
}

function compare(shape: Shape, what: string, unit: string, better: Better, value: number, reference: number): Row {
  return { bench: 'quality', what: `${shape.name}: ${what}`, value, unit, reference, better };
}

/** What lives with both, in the same size. */
function inBoth(ours: ReadonlyMap<number, Wish>, reference: ReadonlyMap<number, Wish>): Wish[] {
  return [...ours].filter(([id, wish]) => reference.get(id) === wish).map(([, wish]) => wish);
}

/**
 * Three times the standard error of the mean of these differences: a mean difference below it may be chance. Three, because
 * some seventy figures are compared, of which one in twenty would exceed twice the error by chance alone.
 */
function noiseOf(differences: readonly number[]): number {
  const middle = mean(differences);
  const variance = mean(differences.map((difference) => (difference - middle) ** 2));
  return 3 * Math.sqrt(variance / (differences.length - 1));
}

function faults(shape: Shape, whose: string, { faults }: Played): Row[] {
  return [...faults].map(([fault, count]) => ({
    bench: 'quality',
    what: `${shape.name}: FAULT of ${whose}: ${fault}`,
    value: count,
    unit: 'times',
  }));
}
