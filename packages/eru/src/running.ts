import { readFile, stat } from 'node:fs/promises';
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
  /** Unknown where only a core has run. */
  node: string | undefined;
}

/** What one process can be to a data folder: all of Eru, or a part of it that runs apart. */
export type Role = 'up' | Part;
export type Part = (typeof parts)[number];

const parts = ['core', 'runtime', 'agent'] as const;

/** Notes what this process is to a data folder, for `eru down`. The note outlives it: what it says of home is true still. */
export async function writeRunning(dataFolder: string, role: Role, home: Partial<Home>): Promise<void> {
  const note = { ...(await identify(process.pid)), ...home };
  await writeFileAtomic(fileOf(dataFolder, role), `${JSON.stringify(note)}\n`, 0o600);
}

/** The home of the Eru that serves a data folder or did so last, in one process or apart; undefined when none ever has. */
export async function findHome(dataFolder: string): Promise<Home | undefined> {
  const notes = await Promise.all((['up', ...parts] as const).map((role) => readNote(dataFolder, role)));
  const known = notes.filter((note) => note !== undefined).toSorted((a, b) => a.writtenMs - b.writtenMs);
  if (known.length === 0) return undefined;
  const { store = 'embedded', node } = Object.assign({}, ...known.map(({ home }) => home)) as Partial<Home>;
  return { store, node };
}

/** The process that serves a data folder in this role, if it is alive. */
export async function findRunning(dataFolder: string, role: Role = 'up'): Promise<number | undefined> {
  const note = await readNote(dataFolder, role);
  if (note === undefined) return undefined;
  const now = await identify(note.process.pid);
  return now?.boot === note.process.boot && now.startTime === note.process.startTime ? now.pid : undefined;
}

/** The parts that run apart on a data folder, by process id. */
export async function findApart(dataFolder: string): Promise<{ part: Part; pid: number }[]> {
  const found = await Promise.all(parts.map(async (part) => ({ part, pid: await findRunning(dataFolder, part) })));
  return found.flatMap(({ part, pid }) => (pid === undefined ? [] : [{ part, pid }]));
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

interface Note {
  process: ProcessIdentity;
  home: Partial<Home>;
  writtenMs: number;
}

async function readNote(dataFolder: string, role: Role): Promise<Note | undefined> {
  const file = fileOf(dataFolder, role);
  const text = await readIfExists(file);
  if (text === undefined) return undefined;
  const { boot, pid, startTime, ...home } = JSON.parse(text) as ProcessIdentity & Partial<Home>;
  return { process: { boot, pid, startTime }, home, writtenMs: (await stat(file)).mtimeMs };
}

function fileOf(dataFolder: string, role: Role): string {
  return path.join(dataFolder, role === 'up' ? 'running.json' : `running-${role}.json`);
}

async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [boot, line] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ]);
    // The command in parentheses may hold blanks; state is the first field after it, the start time the 20th (proc(5)).
    const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
    // Where nobody reaps it, what is left of a dead process keeps its entry.
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    const startTime = fields[19] ?? '';
    return { boot: boot.trim(), pid, startTime };
  } catch (error) {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ESRCH')) return undefined;
    throw error;
  }
}
