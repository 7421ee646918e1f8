import { nodesFor, play, type Figures } from './quality/play.ts';
import { ourSubject } from './quality/ours.ts';
import { referenceSubject } from './quality/reference.ts';
import { shapes, type Shape } from './quality/shapes.ts';
import { trace } from './quality/traces.ts';
import type { Bench, Better, Row } from './table.ts';

const seed = 1;

/** Seeded lives of a fleet, ours against the reference's algorithm. Times: the reference remembers what did not change. */
export const qualityBench: Bench = {
  name: 'quality',
  run: ({ quick }) => Promise.resolve(shapes.flatMap((shape) => measure(shape, quick ? 10_000 : 100_000))),
};

function measure(shape: Shape, length: number): Row[] {
  const steps = trace(shape, length, seed);
  const ours = play(shape, steps, ourSubject);
  const reference = play(shape, steps, referenceSubject);
  // The same set for both: what lives at the end in both, in the same size.
  const common = [...ours.living].filter(([id, wish]) => reference.living.get(id) === wish).map(([, wish]) => wish);
  const row = (what: string, value: number, yardstick: number, unit: string, better: Better): Row => ({
    bench: 'quality',
    what: `${shape.name}: ${what}`,
    value,
    unit,
    reference: yardstick,
    better,
  });
  const figure = (what: string, name: keyof Omit<Figures, 'faults'>, unit: string, better: Better): Row[] => {
    const [value, yardstick] = [ours.figures[name], reference.figures[name]];
    if (Number.isNaN(value)) return [];
    const scale = unit.startsWith('%') ? 100 : 1;
    return [row(what, value * scale, yardstick * scale, unit, better)];
  };
  return [
    ...figure('placed before the first refusal', 'untilRefusal', 'instances', 'more'),
    ...figure('placed in all', 'placed', '%', 'more'),
    ...figure('placed in all, by cores', 'placedCores', '%', 'more'),
    ...figure('reallocs granted', 'resized', '%', 'more'),
    ...figure('pieces booked', 'booked', '%', 'more'),
    ...figure('stranded: of no use to any request', 'strandedBest', '% of pieces', 'less'),
    ...figure('stranded for the mean request', 'strandedMean', '% of pieces', 'less'),
    ...figure('bound inside one NUMA node', 'insideNuma', '%', 'more'),
    row(
      `nodes that hold the same ${common.length}`,
      nodesFor(shape, common, ourSubject),
      nodesFor(shape, common, referenceSubject),
      'nodes',
      'less',
    ),
    ...figure('time', 'seconds', 's', 'less'),
    ...faults(shape, 'ours', ours.figures.faults),
    ...faults(shape, 'reference', reference.figures.faults),
  ];
}

function faults(shape: Shape, whose: string, found: ReadonlyMap<string, number>): Row[] {
  return [...found].map(([fault, count]) => ({
    bench: 'quality',
    what: `${shape.name}: FAULT of ${whose}: ${fault}`,
    value: count,
    unit: 'times',
  }));
}
