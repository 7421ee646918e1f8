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
  /** A difference to the reference that is not larger than this may be chance. */
  noise?: number;
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
  /** One who takes long yields what it has, again and again. */
  run(options: BenchOptions): Promise<Row[]> | Iterable<Row[]>;
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

function figure(row: Row): string {
  const { value, unit, reference, noise, target, aspect } = row;
  return [
    `${format(value).padStart(aspect === undefined ? 10 : 0)} ${unit}`.trimEnd(),
    ...(reference === undefined ? [] : [`, reference ${format(reference)}: ${verdict(row, reference)}`]),
    ...(noise === undefined || noise === 0 ? [] : [` (±${format(noise)})`]),
    ...(target === undefined ? [] : [` (target ${format(target)}: ${wins(row, target) ? 'met' : 'MISSED'})`]),
  ].join('');
}

function wins({ value, better }: Row, other: number): boolean {
  return better === 'more' ? value > other : value < other;
}

function verdict(row: Row, reference: number): string {
  if (Math.abs(row.value - reference) <= (row.noise ?? 0))
    return row.value === reference ? 'the same' : 'about the same';
  return wins(row, reference) ? 'better' : 'WORSE';
}

function format(value: number): string {
  return value.toFixed(Number.isInteger(value) || value >= 100 ? 0 : value >= 1 ? 2 : 3);
}

/** The value below which `share` of the samples lie. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
