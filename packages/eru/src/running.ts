import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { isErrno, readIfExists, systemClock, writeFileAtomic } from '@eru/kit';

/** A process, told apart from any later one with the same number: boot, pid and start time (clock ticks since boot). */
interface ProcessIdentity {
  boot: string;
  pid: number;
  startTime: string;
}

/** What the Eru of a data folder is, or was: where its state lives, and which node is this machine's. */
export interface Home {
  /** `embedded` or `etcd://…` */
  store: string;
  node: string;
}

/** Notes this process as the one that serves a data folder, for `eru down`. The note outlives it. */
export async function writeRunning(dataFolder: string, { store, node }: Home): Promise<void> {
  const note = { ...(await identify(process.pid)), store, node };
  await writeFileAtomic(fileOf(dataFolder), `${JSON.stringify(note)}\n`, 0o600);
}

/** The Eru that serves a data folder or did so last; undefined when none ever has. */
export async function findHome(dataFolder: string): Promise<Home | undefined> {
  const text = await readIfExists(fileOf(dataFolder));
  return text === undefined ? undefined : (JSON.parse(text) as Home);
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
    // The command in parentheses may hold blanks; state is the first field after it, the start time the 20th (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // Where nobody reaps it, what is left of a dead process keeps its entry.
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const startTime = fields[19] ?? '';
    return { boot: boot.trim(), pid, startTime };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}
