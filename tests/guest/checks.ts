import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine } from '@eru/runtime';

import { checkLimits } from '../limit-checks.ts';

// The program of the guest: bundled into its initial file system, run once, read by `guest.ts` from the serial line.
// Whatever ends it, the serial line tells.
process.once('exit', (code) => process.stdout.write(`ENDED ${code}\n`));
try {
  const engine = await createProcessEngine({
    folder: '/run/eru',
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    unenforced: 'refuse',
  });
  const { offers, missing } = await engine.info();
  process.stdout.write(`OFFERS ${JSON.stringify({ offers, missing })}\n`);
  for (const check of await checkLimits(engine)) process.stdout.write(`CHECK ${JSON.stringify(check)}\n`);
  process.stdout.write('DONE\n');
} catch (error) {
  process.stdout.write(`FAILED ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
}
process.exit();
