import { setTimeout as sleep } from 'node:timers/promises';

import { bareSpec, type Engine, type WorkloadSpec, type WorkloadState } from '@eru/engines';

import { check, type Check, type IoPlace } from './check.ts';
import { checkFigures } from './figure-checks.ts';

const mib = 2 ** 20;
/** How long a busy loop is measured. */
const measureMs = 10_000;

/** Runs every proof against a process engine on this machine's real cgroups; the same on version 1 and 2. */
export async function checkLimits(engine: Engine, place: IoPlace): Promise<Check[]> {
  const first = [...(await hog(engine)), ...(await plainKill(engine))];
  // The measured loop takes its time, and the others hardly a processor.
  const together = await Promise.all([busyLoop(engine), checkFigures(engine, place)]);
  return [...first, ...together.flat(), ...(await pause(engine))];
}

/** An allocation over the limit ends with 137 and is told apart from a plain kill. */
async function hog(engine: Engine): Promise<Check[]> {
  const allocate = 'const held = []; for (;;) held.push(Buffer.alloc(1 << 20, 1));';
  const { id } = await engine.create(spec('hog', [process.execPath, '-e', allocate], { memory: 64 * mib }));
  const { limits } = await engine.inspect(id);
  await engine.start(id);
  await engine.wait(id);
  const state = await engine.inspect(id);
  await engine.remove(id, { force: true });
  return [
    check('memory is limited to 64 MiB', limits.effective.memoryBytes === 64 * mib, limits.effective),
    check('a hog ends with 137, killed for its memory', state.exitCode === 137 && state.oomKilled, exitOf(state)),
  ];
}

async function plainKill(engine: Engine): Promise<Check[]> {
  const { id } = await engine.create(spec('victim', ['sleep', '600'], { memory: 64 * mib }));
  await engine.start(id);
  await engine.kill(id, 'SIGKILL');
  await engine.wait(id);
  const state = await engine.inspect(id);
  await engine.remove(id, { force: true });
  return [
    check('a plain kill ends with 137, not for its memory', state.exitCode === 137 && !state.oomKilled, exitOf(state)),
  ];
}

async function busyLoop(engine: Engine): Promise<Check[]> {
  const { id } = await engine.create({ ...spec('busy', ['sh', '-c', 'while :; do :; done'], { cpu: 0.25 }), pids: 16 });
  await engine.start(id);
  const before = await engine.stats(id);
  await sleep(measureMs);
  const after = await engine.stats(id);
  const cores = (after.cpuSeconds - before.cpuSeconds) / ((after.atMs - before.atMs) / 1000);
  const { limits } = await engine.inspect(id);
  const updated = await engine.update(id, { cpumem: { cpu: 0.5, memory: 32 * mib } });
  await engine.remove(id, { force: true });
  return [
    // Less where others want the processors too; held back by its quota even then.
    check('a busy loop under 0.25 CPU uses 0.25 + 0.03 of a core at most', cores <= 0.28 && cores >= 0.1, cores),
    check(
      'a busy loop is held back by its quota',
      after.cpuThrottledSeconds > before.cpuThrottledSeconds,
      after.cpuThrottledSeconds,
    ),
    check('processes are limited to 16', limits.effective.pids === 16, limits.effective),
    check(
      'a live change to 0.5 CPU and 32 MiB is read back',
      updated.limits.effective.cpu === 0.5 && updated.limits.effective.memoryBytes === 32 * mib,
      updated.limits.effective,
    ),
  ];
}

/** What is paused uses nothing, and goes on where it was. */
async function pause(engine: Engine): Promise<Check[]> {
  const { id } = await engine.create(spec('paused', ['sh', '-c', 'while :; do :; done'], { cpu: 0.5 }));
  await engine.start(id);
  await engine.suspend(id);
  const first = await engine.stats(id);
  await sleep(1000);
  const second = await engine.stats(id);
  const { state, pid } = await engine.inspect(id);
  await engine.resume(id);
  const deadline = Date.now() + 20_000;
  let third = await engine.stats(id);
  while (third.cpuSeconds <= second.cpuSeconds && Date.now() < deadline) {
    await sleep(50);
    third = await engine.stats(id);
  }
  const resumed = await engine.inspect(id);
  await engine.suspend(id);
  await engine.remove(id, { force: true });
  return [
    check('what is paused uses no CPU', state === 'paused' && second.cpuSeconds === first.cpuSeconds, [first, second]),
    check(
      'what is resumed goes on in the same process',
      resumed.state === 'running' && resumed.pid === pid && third.cpuSeconds > second.cpuSeconds,
      [second, third],
    ),
  ];
}

function exitOf({ exitCode, oomKilled, error }: WorkloadState): unknown {
  return { exitCode, oomKilled, error };
}

function spec(name: string, command: string[], cpumem: Record<string, number>): WorkloadSpec {
  return bareSpec(`limits_${name}_abcdef`, command, { engineParams: { cpumem } });
}
