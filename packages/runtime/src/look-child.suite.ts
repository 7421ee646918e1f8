import { silentLogger, systemClock, systemRandom } from '@eru/kit';

import { createProcessEngine } from './engine.ts';
import { lines, specOf } from './spec.suite.ts';

// A daemon on a poor machine: runs one process from create to remove, and says what it saw.
const folder = process.argv[2] ?? '';
const engine = await createProcessEngine({
  folder,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  unenforced: 'allow',
});
const { missing } = await engine.info();
const command = ['/bin/sh', '-c', 'echo run; exec sleep 1000'];
const { id } = await engine.create(specOf(command, { engineParams: { cpumem: { cpu: 0.5, memory: 2 ** 26 } } }));
await engine.start(id);
for await (const _line of engine.logs(id, { follow: true })) break;
const { pids } = await engine.stats(id);
await engine.stop(id);
const { exitCode, limits } = await engine.inspect(id);
const said = await lines(engine, id);
await engine.remove(id);
await engine.close();
process.stdout.write(JSON.stringify({ missing, pids, exitCode, effective: limits.effective, lines: said }));
process.exit();
