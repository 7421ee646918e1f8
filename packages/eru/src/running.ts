import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { isErrno, readIfExists, systemClock, writeFileAtomic } from '@eru/kit';

/** A process, told apart from any later one with the same number: boot, pid and start time (clock ticks since boot). */
interface ProcessIdentity {
  boot: string;
  pid: number;
  startTime: string;
}

/** Notes this process as the one that serves a data folder, for `eru down`. */
export async function writeRunning(dataFolder: string): Promise<void> {
  await writeFileAtomic(fileOf(dataFolder), `${JSON.stringify(await identify(process.pid))}\n`, 0o600);
}

/** The process that serves a data folder, if it is alive. */
export async function findRunning(dataFolder: string): Promise<number | undefined> {
  const text = await readIfExists(fileOf(dataFolder));
  if (text === undefined) return undefined;
  const noted = JSON.parse(text) as ProcessIdentity;
  const now = await identify(noted.pid);
  return now !== undefined && now.boot === noted.boot && now.startTime === noted.startTime ? noted.pid : undefined;
}

/** TERM, and wait for its end; answers false when it does not end in time. */
export async function stopRunning(dataFolder: string, timeoutMs: number): Promise<boolean> {
  const pid = await findRunning(dataFolder);
  if (pid === undefined) return true;
  process.kill(pid, 'SIGTERM');
  const limit = systemClock.monotonic() + timeoutMs;
  while ((await findRunning(dataFolder)) !== undefined) {
    if (systemClock.monotonic() > limit) return false;
    await systemClock.sleep(50);
  }
  return true;
}

function fileOf(dataFolder: string): string {
  return path.join(dataFolder, 'running.json');
}

async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [boot, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // The command in parentheses may hold blanks; field 22 is the 20th after it (proc(5)).
    const startTime = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    return { boot: boot.trim(), pid, startTime };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}
