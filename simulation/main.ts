import { parseArgs } from 'node:util';

import { invalid } from '@eru/kit';

import { runStorm } from './storm.ts';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '10' },
    operations: { type: 'string', default: '50' },
    errors: { type: 'string', default: '0.02' },
    crashes: { type: 'string', default: '0.005' },
    outages: { type: 'string', default: '0.05' },
  },
});

/** `npm run simulate -- --seed N`: lives of a cluster, each from its seed; a broken one names the seed that replays it. */
const first = number('seed');
let failed = 0;
for (let seed = first; seed < first + number('runs'); seed++) {
  const { broken, awaits, crashes, acknowledged } = await runStorm({
    seed,
    operations: number('operations'),
    errors: number('errors'),
    crashes: number('crashes'),
    outages: number('outages'),
  });
  process.stdout.write(
    `seed ${seed}: ${awaits} awaits, ${crashes} crashes, ${acknowledged} workloads at the end: ${broken.length === 0 ? 'ok' : 'BROKEN'}\n`,
  );
  for (const sentence of broken) process.stdout.write(`  ${sentence}\n`);
  if (broken.length > 0) {
    failed += 1;
    process.stdout.write(
      `  replay: npm run simulate -- --seed ${seed} --runs 1 --operations ${values.operations} --errors ${values.errors} --crashes ${values.crashes} --outages ${values.outages}\n`,
    );
  }
}
process.exit(failed === 0 ? 0 : 1);

function number(name: keyof typeof values): number {
  const value = Number(values[name]);
  if (Number.isNaN(value) || value < 0) throw invalid(`--${name}`, values[name], 'write a number');
  return value;
}
