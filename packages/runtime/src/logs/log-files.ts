import { readIfExists } from '@eru/kit';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

/** How much of a workload's output is kept: `files` files in all, each closed once it has `maxBytes`. */
export interface LogLimits {
  maxBytes: number;
  files: number;
}

export const currentLog = 'current.log';

/** Closed files by age, the one that is written last. Their numbers only grow, so a reader finds its next one. */
export async function logFiles(folder: string): Promise<string[]> {
  const names: string[] = await readdir(folder).catch(() => []);
  const closed = names.filter((name) => /^\d{10}\.log$/.test(name)).toSorted();
  return [...closed, ...(names.includes(currentLog) ? [currentLog] : [])];
}

export interface LogFile {
  file: string;
  inode: number;
  modifiedMs: number;
}

/** The same with what is behind the names, as of one moment: no rotation came between. */
export async function logListing(folder: string): Promise<LogFile[]> {
  for (let names = await logFiles(folder); ;) {
    const found = await Promise.all(
      names.map(async (file) => {
        const stats = await stat(path.join(folder, file)).catch(() => undefined);
        return stats === undefined ? [] : [{ file, inode: stats.ino, modifiedMs: stats.mtimeMs }];
      }),
    );
    const after = await logFiles(folder);
    if (after.length === names.length && after.every((name, index) => name === names[index])) return found.flat();
    names = after;
  }
}

/**
 * Closes the current file when it is full, and drops the oldest. Whoever writes holds it by its handle and goes on writing
 * there until `reopen` (given the path to make anew) is done, so no line is lost. True when it did.
 */
export async function rotateLog(
  folder: string,
  limits: LogLimits,
  reopen: (file: string) => Promise<void>,
): Promise<boolean> {
  const current = path.join(folder, currentLog);
  const size = (await stat(current).catch(() => undefined))?.size ?? 0;
  if (size < limits.maxBytes) return false;
  const closed = (await logFiles(folder)).filter((name) => name !== currentLog);
  const next = Number.parseInt(closed.at(-1) ?? '0', 10) + 1;
  const name = `${String(next).padStart(10, '0')}.log`;
  await rename(current, path.join(folder, name));
  await reopen(current);
  const surplus = closed.length + 1 - Math.max(0, limits.files - 1);
  const dropped = closed.slice(0, Math.max(0, surplus));
  await noteStart(folder, name, dropped);
  for (const old of dropped) await rm(path.join(folder, old), { force: true });
  return true;
}

/** Beside the folder, not in it: writing it is no news. */
function startsFile(folder: string): string {
  return `${folder}.starts`;
}

/** Where each file begins in the whole log, in bytes, so that a reader who comes too late knows how much is gone. */
export function readStarts(folder: string): Promise<Record<string, number>> {
  return readNumbers(startsFile(folder));
}

/** Only now is the file complete: whoever wrote to it has another one. */
async function noteStart(folder: string, name: string, dropped: readonly string[]): Promise<void> {
  const starts = await readStarts(folder);
  const start = starts[currentLog] ?? 0;
  const size = (await stat(path.join(folder, name)).catch(() => undefined))?.size ?? 0;
  for (const old of dropped) delete starts[old];
  await writeFile(startsFile(folder), JSON.stringify({ ...starts, [name]: start, [currentLog]: start + size }));
}

const blockBytes = 64 * 1024;

type LogPlace = LogFile & { offset: number };

/** Where the last `lines` whole lines begin (the first file that holds one, and the offset in it), reading from the end. */
export async function findTail(folder: string, lines: number): Promise<LogPlace | undefined> {
  const files = await logListing(folder);
  let wanted = lines;
  let begin: LogPlace | undefined;
  for (const found of files.toReversed()) {
    const handle = await open(path.join(folder, found.file)).catch(() => undefined);
    if (handle === undefined) continue;
    try {
      const { size, ino } = await handle.stat();
      if (ino !== found.inode) return await findTail(folder, lines); // Rotated since.
      const offset = await tailOffset(handle, size, wanted);
      begin = { ...found, offset: offset.at };
      wanted -= offset.lines;
      if (offset.enough) return begin;
    } finally {
      await handle.close();
    }
  }
  return begin;
}

/** Counts whole lines (`F`) backwards; parts of a line belong to the whole one after them. */
async function tailOffset(
  handle: FileHandle,
  size: number,
  wanted: number,
): Promise<{ at: number; lines: number; enough: boolean }> {
  let found = 0;
  let end = size;
  let carry = Buffer.alloc(0);
  let begin = size;
  while (end > 0) {
    const start = Math.max(0, end - blockBytes);
    const { buffer } = await handle.read(Buffer.alloc(end - start), 0, end - start, start);
    const block = Buffer.concat([buffer, carry]);
    // The first line of the block may begin before it; keep it for the next round.
    const keep = start === 0 ? 0 : block.indexOf(10) + 1;
    if (keep === 0 && start > 0) {
      carry = block;
      end = start;
      continue;
    }
    for (let lineEnd = block.length; lineEnd > keep;) {
      const lineStart = Math.max(keep, block.lastIndexOf(10, lineEnd - 2) + 1);
      const whole = isWhole(block.subarray(lineStart, lineEnd));
      if (whole && found === wanted) return { at: begin, lines: found, enough: true };
      if (whole) found += 1;
      else if (begin === size && wanted === 0) return { at: size, lines: 0, enough: true };
      begin = start + lineStart;
      lineEnd = lineStart;
    }
    carry = block.subarray(0, keep);
    end = start;
  }
  return { at: 0, lines: found, enough: false };
}

function isWhole(line: Buffer): boolean {
  const second = line.indexOf(0x20, line.indexOf(0x20) + 1);
  return line[second + 1] === 0x46;
}

/** Bytes already taken over, by stream; and how long the log was then. */
export async function readNumbers(file: string): Promise<Record<string, number>> {
  try {
    return JSON.parse((await readIfExists(file)) ?? '{}') as Record<string, number>;
  } catch {
    return {};
  }
}
