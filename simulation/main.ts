import { invalid } from '@eru/kit';
import os from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { runSeed, type SeedResult } from './seeds.ts';

/**
 * `npm run simulate -- --seeds N [--from M]` for a night, `-- --seed N` to replay one: each seed is a life of a cluster under faults,
 * or an operation disturbed at one await (`seeds.ts`). Exit code 1 when one has broken something.
 */
const options = {
  seed: { type: 'string' },
  seeds: { type: 'string', default: '100' },
  from: { type: 'string', default: '1' },
  workers: { type: 'string', default: String(os.availableParallelism()) },
} as const;

/** Milliseconds between two lines of progress. */
const progressMs = 10_000;

interface Told extends SeedResult {
  seed: number;
}

if (isMainThread) await main();
else await work(workerData as { from: number; to: number; step: number });

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  if (values.seed !== undefined) {
    const seed = number('seed', values.seed);
    const { what, broken } = await runSeed(seed);
    process.stdout.write(`seed ${seed}: ${what}: ${broken.length === 0 ? 'ok' : 'BROKEN'}\n`);
    for (const sentence of broken) process.stdout.write(`  ${sentence}\n`);
    process.exit(broken.length === 0 ? 0 : 1);
  }
  const [from, seeds] = [number('from', values.from), number('seeds', values.seeds)];
  const step = Math.max(1, Math.min(number('workers', values.workers), seeds));
  const startedMs = performance.now();
  const seconds = (): string => `${Math.round((performance.now() - startedMs) / 1000)} s`;
  let [done, failed] = [0, 0];
  const progress = setInterval(
    () => process.stdout.write(`${done} of ${seeds} seeds, ${failed} broken, ${seconds()}\n`),
    progressMs,
  );
  const heard = ({ seed, what, broken }: Told): void => {
    done += 1;
    if (broken.length === 0) return;
    failed += 1;
    process.stdout.write(`seed ${seed}: ${what}: BROKEN\n`);
    for (const sentence of broken) process.stdout.write(`  ${sentence}\n`);
    process.stdout.write(`  replay: npm run simulate -- --seed ${seed}\n`);
  };
  await Promise.all(
    Array.from({ length: step }, (_, index) => worker({ from: from + index, to: from + seeds, step }, heard)),
  );
  clearInterval(progress);
  process.stdout.write(`${done} seeds from ${from}, ${failed} broken, ${seconds()}\n`);
  process.exit(failed === 0 && done === seeds ? 0 : 1);
}

function worker(data: { from: number; to: number; step: number }, heard: (told: Told) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(new URL(import.meta.url), { workerData: data });
    thread.on('message', heard);
    thread.once('error', reject);
    thread.once('exit', () => resolve());
  });
}

async function work({ from, to, step }: { from: number; to: number; step: number }): Promise<void> {
  for (let seed = from; seed < to; seed += step) {
    const result = await runSeed(seed).catch((error: unknown): SeedResult => {
      return {
        what: 'it could not be run',
        broken: [error instanceof Error ? (error.stack ?? error.message) : String(error)],
      };
    });
    // oxlint-disable-next-line require-post-message-target-origin -- a thread's port has no origin
    parentPort?.postMessage({ seed, ...result } satisfies Told);
  }
}

function number(name: keyof typeof options, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0) throw invalid(`--${name}`, text, 'write a number');
  return value;
}
