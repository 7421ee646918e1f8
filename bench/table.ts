/** One measured figure. Times depend on the machine; counts do not. */
export interface Row {
  bench: string;
  what: string;
  /** Which figure of several about the same thing; such rows are printed on one line. */
  aspect?: string;
  value: number;
  unit: string;
  /** The same figure of the yardstick, in the same unit. */
  reference?: number;
  /** Which way is good, where there is a yardstick or a target to hold the value against. */
  better?: Better;
  /** What we reach for. */
  target?: number;
}

export type Better = 'more' | 'less';

export interface BenchOptions {
  /** A tenth of the work: to see that it runs and where it goes. */
  readonly quick: boolean;
}

export interface Bench {
  name: string;
  run(options: BenchOptions): Promise<Row[]>;
}

export function print(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const [index, row] of rows.entries()) {
    const { bench, what, aspect } = row;
    const continued = aspect !== undefined && what === rows[index - 1]?.what;
    const begin = continued ? '  ' : `${index === 0 ? '' : '\n'}${bench.padEnd(10)} ${what.padEnd(width)} `;
    process.stdout.write(`${begin}${aspect === undefined ? '' : `${aspect} `}${figure(row)}`);
  }
  process.stdout.write('\n');
}

function figure({ value, unit, reference, target, better, aspect }: Row): string {
  const wins = (other: number): boolean => (better === 'more' ? value > other : value < other);
  const verdict = (other: number): string => (value === other ? 'same' : wins(other) ? 'better' : 'WORSE');
  return [
    `${format(value).padStart(aspect === undefined ? 10 : 0)} ${unit}`.trimEnd(),
    ...(reference === undefined ? [] : [`, reference ${format(reference)}: ${verdict(reference)}`]),
    ...(target === undefined ? [] : [` (target ${format(target)}: ${wins(target) ? 'met' : 'MISSED'})`]),
  ].join('');
}

function format(value: number): string {
  return value.toFixed(Number.isInteger(value) || value >= 100 ? 0 : value >= 1 ? 2 : 3);
}

/** The value below which `share` of the samples lie. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
