/** One measured figure. Times depend on the machine; counts do not. */
export interface Row {
  bench: string;
  what: string;
  value: number;
  unit: string;
}

export interface Bench {
  name: string;
  run(): Promise<Row[]>;
}

export function print(rows: readonly Row[]): void {
  const width = Math.max(...rows.map(({ what }) => what.length));
  for (const { bench, what, value, unit } of rows) {
    const digits = value >= 100 ? 0 : value >= 1 ? 2 : 3;
    process.stdout.write(`${bench.padEnd(10)} ${what.padEnd(width)} ${value.toFixed(digits).padStart(10)} ${unit}\n`);
  }
}

/** The value below which `share` of the samples lie. */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
}
