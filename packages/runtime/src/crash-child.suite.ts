import childProcess from 'node:child_process';
import { writeSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

import type { Engine, WorkloadSpec } from '@eru/engines';
import { silentLogger, systemClock, systemRandom } from '@eru/kit';

import { createProcessEngine } from './engine.ts';
import type { LogLimits } from './logs/log-files.ts';
import type { Machine } from './cgroups/machine.ts';

/** What the child is told, as JSON in its first argument. */
export interface CrashOrder {
  folder: string;
  machine: Machine;
  spec: Omit<WorkloadSpec, 'rawArgs'>;
  /** `adopt`: nothing but to take up what is there and follow it. */
  verb: 'create' | 'start' | 'stop' | 'remove' | 'end' | 'adopt';
  log?: LogLimits;
  /** The effect before which the daemon is killed; 0 is the first. */
  effect: number;
}

/** Calls that change something outside this process; before each of them it may die. */
const effects = ['writeFile', 'rename', 'mkdir', 'rm', 'truncate'] as const;

const order = JSON.parse(process.argv[2] ?? '') as CrashOrder;
let armed = Number.POSITIVE_INFINITY;

function count(): void {
  if (armed-- === 0) process.kill(process.pid, 'SIGKILL');
}

/** The daemon itself knows nothing of this: it is killed between two calls of the system, as by anybody. */
function patch<Names extends string>(module: Record<Names, unknown>, names: readonly Names[]): void {
  for (const name of names) {
    const original = module[name] as (...args: unknown[]) => unknown;
    module[name] = (...args: unknown[]) => {
      count();
      return original(...args);
    };
  }
}

patch(fs as Record<(typeof effects)[number], unknown>, effects);
// Of a rotation it is the word to conmon that counts, which is written to an opened pipe.
if (order.verb === 'adopt') patch(fs as Record<'open', unknown>, ['open']);
patch(childProcess as Record<'spawn', unknown>, ['spawn']);
syncBuiltinESMExports();

// A workload that is waited for keeps no process alive.
setInterval(() => {}, 60_000);

const spec = { ...order.spec, rawArgs: new Uint8Array() };

async function prepare(engine: Engine): Promise<string> {
  if (order.verb === 'create') return '';
  const { id } = await engine.create(spec);
  if (order.verb === 'start') return id;
  await engine.start(id);
  if (order.verb !== 'end') for await (const _line of engine.logs(id, { follow: true })) break;
  return id;
}

if (order.verb === 'adopt') armed = order.effect;
const engine = await createProcessEngine({
  folder: order.folder,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  unenforced: 'allow',
  look: async () => order.machine,
  ...(order.log !== undefined && { log: order.log }),
});
if (order.verb === 'adopt') await new Promise(() => {});
const id = await prepare(engine);
const kill = process.kill.bind(process);
process.kill = (pid, signal) => {
  if (pid !== process.pid) count();
  return kill(pid, signal);
};
// Whoever finds it killed without this word knows that it was killed by somebody else, or for want of memory.
writeSync(1, 'armed');
armed = order.effect;
if (order.verb === 'create') await engine.create(spec);
else if (order.verb === 'start') await engine.start(id);
else if (order.verb === 'stop') await engine.stop(id);
else if (order.verb === 'remove') await engine.remove(id, { force: true });
else await engine.wait(id).then(() => engine.stop(id));
armed = Number.POSITIVE_INFINITY;
// No orderly end either: what it has done must do.
process.exit();
