import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run } from '@eru/kit';

import { quantile, type Bench, type Row } from './table.ts';

const rounds = 15;

/** Start-up of the command, in the clean environment (`kit` drops NODE_EXTRA_CA_CERTS from children), against a bare node. */
export const startupBench: Bench = {
  name: 'startup',
  async run() {
    const command = path.join(import.meta.dirname, '../../packages/eru/bin/eru.js');
    const data = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    try {
      await run(process.execPath, [command, 'up', '--detach', '--data', data, '--listen', '127.0.0.1:0'], {
        timeoutMs: 60_000,
      });
      const rows: Row[] = [];
      for (const [what, args] of [
        ['node -e 0', ['-e', '0']],
        ['eru --version', [command, '--version']],
        ['eru ps', [command, 'ps', '--data', data]],
      ] as const) {
        const samples: number[] = [];
        for (let round = 0; round < rounds; round++) {
          const begun = performance.now();
          await run(process.execPath, args);
          samples.push(performance.now() - begun);
        }
        rows.push({ bench: 'startup', what, value: quantile(samples, 0.5), unit: 'ms' });
      }
      return rows;
    } finally {
      await run(process.execPath, [command, 'down', '--all', '--data', data], { timeoutMs: 60_000 });
      await rm(data, { recursive: true, force: true });
    }
  },
};
