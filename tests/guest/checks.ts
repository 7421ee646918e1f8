import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine } from '@eru/runtime';

import { checkLimits } from '../limit-checks.ts';

/** Nobody's: the guest runs in memory. Only the privileged see it. */
const disk = { device: '/dev/nvme0n1', source: '/dev/nvme0n1', target: '/dev/nvme0n1', more: { privileged: true } };

// The program of the guest: bundled into its initial file system, run once, read by `guest.ts` from the serial line.
// Whatever ends it, the serial line tells.
process.once('exit', (code) => process.stdout.write(`ENDED ${code}\n`));
const options = {
  folder: '/run/eru',
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  unenforced: 'refuse',
} as const;
try {
  const engine = await createProcessEngine(options);
  const { offers, missing } = await engine.info();
  process.stdout.write(`OFFERS ${JSON.stringify({ offers, missing })}\n`);
  const checks = await checkLimits(engine, disk);
  await engine.close();
  for (const check of checks) process.stdout.write(`CHECK ${JSON.stringify(check)}\n`);
  process.stdout.write('DONE\n');
} catch (error) {
  process.stdout.write(`FAILED ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}
process.exit();
