import type { LogEntry, LogOptions } from '@eru/engines';
import { EruError, isErrno } from '@eru/kit';
import { watch } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import path from 'node:path';

import { currentLog, findTail, logListing, readStarts, type LogFile } from './log-files.ts';
import { LineJoiner, parseLogLine } from './log-format.ts';

const blockBytes = 64 * 1024;
/** Notifications may be missing on some file systems; then this is how late a followed line comes. */
const safetyMs = 1000;

/**
 * A workload's log from its files. Following goes on over restarts and rotations until `gone` aborts (the workload is
 * removed: what is left is still given), or the caller leaves.
 */
export async function* readLog(folder: string, options: LogOptions, gone: AbortSignal): AsyncGenerator<LogEntry> {
  const { follow = false, tail, sinceMs = 0, untilMs = Number.POSITIVE_INFINITY, signal } = options;
  checkAborted(signal);
  const joiner = new LineJoiner();
  const wanted = (entry: LogEntry): boolean => entry.atMs >= sinceMs && entry.atMs <= untilMs;
  const cursor = new LogCursor(folder);
  let lostBytes = 0;
  const wake = follow ? new Wake(folder, [gone, ...(signal === undefined ? [] : [signal])]) : undefined;
  try {
    await cursor.begin(tail, sinceMs);
    for (;;) {
      // Asked before reading: what is written in between wakes the next round.
      const last = gone.aborted || !follow;
      wake?.arm();
      for await (const raw of cursor.lines()) {
        checkAborted(signal);
        const gap = cursor.takeGap();
        lostBytes += gap;
        if (gap > 0) joiner.rest(); // Half a line from before the gap is not the begin of one after it.
        const line = parseLogLine(raw);
        const entry = line === undefined ? undefined : joiner.add(line);
        if (entry === undefined) continue;
        if (entry.atMs > untilMs) return;
        if (!wanted(entry)) continue;
        yield lostBytes === 0 ? entry : { ...entry, lostBytes };
        lostBytes = 0;
      }
      if (last) break;
      await wake?.happened();
      checkAborted(signal);
    }
    if (tail !== 0) yield* joiner.rest().filter(wanted);
  } finally {
    wake?.close();
    await cursor.close();
  }
}

/** What is written from now on, as it comes: a line need not be whole. Goes on until `over` aborts; what is left then is still given. */
export async function followLog(
  folder: string,
  over: AbortSignal,
  left: AbortSignal,
): Promise<AsyncGenerator<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>> {
  const cursor = new LogCursor(folder);
  await cursor.begin(0, 0);
  return (async function* () {
    const wake = new Wake(folder, [over, left]);
    try {
      for (let last = false; !last && !left.aborted;) {
        last = over.aborted;
        wake.arm();
        for await (const raw of cursor.lines()) {
          const line = parseLogLine(raw);
          if (line === undefined) continue;
          const { stream, text, whole } = line;
          yield { stream, data: whole ? Buffer.concat([text, Buffer.from('\n')]) : text };
          if (left.aborted) return;
        }
        if (!last) await wake.happened();
      }
    } finally {
      wake.close();
      await cursor.close();
    }
  })();
}

function checkAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw EruError.from(signal.reason);
}

/** A place in a sequence of files that are renamed and deleted under it. */
class LogCursor {
  readonly #folder: string;
  #handle: FileHandle | undefined;
  #inode = 0;
  #offset = 0;
  #carry = Buffer.alloc(0);
  /** Where the open file begins in the whole log; undefined when nobody has noted it. */
  #start: number | undefined;
  #gap = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async begin(tail: number | undefined, sinceMs: number): Promise<void> {
    // Who wants all of it also wants to know what is gone of its begin.
    if (tail === undefined && sinceMs === 0) this.#start = 0;
    const find = async (): Promise<(LogFile & { offset: number }) | undefined> => {
      if (tail !== undefined) return findTail(this.#folder, tail);
      const files = await logListing(this.#folder);
      const first = files.find(({ file, modifiedMs }) => file === currentLog || modifiedMs >= sinceMs);
      return first && { ...first, offset: 0 };
    };
    for (let place = await find(); place !== undefined; place = await find())
      if (await this.#open(place, place.offset)) return;
  }

  /** Lines without newline up to the present end. */
  async *lines(): AsyncGenerator<Buffer> {
    for (;;) {
      yield* this.#linesOfFile();
      const next = await this.#next();
      if (next === undefined) return;
      // The next file exists, so nobody writes to this one any more: what came meanwhile is its end.
      yield* this.#linesOfFile();
      await this.#open(next, 0); // Or it is looked for again.
    }
  }

  /** Bytes that were dropped before they were read, since this was asked last. */
  takeGap(): number {
    const gap = this.#gap;
    this.#gap = 0;
    return gap;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async *#linesOfFile(): AsyncGenerator<Buffer> {
    for (;;) {
      if (this.#handle === undefined) return;
      const { bytesRead, buffer } = await this.#handle.read(Buffer.alloc(blockBytes), 0, blockBytes, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      const block = Buffer.concat([this.#carry, buffer.subarray(0, bytesRead)]);
      let start = 0;
      for (let end = block.indexOf(10); end >= 0; end = block.indexOf(10, start)) {
        yield block.subarray(start, end);
        start = end + 1;
      }
      this.#carry = block.subarray(start);
    }
  }

  /** The file after this one; undefined while this is the one that is written. */
  async #next(): Promise<LogFile | undefined> {
    const files = await logListing(this.#folder);
    // It may have been deleted while we read it: the oldest that is left is the next, as at the beginning.
    const index = this.#handle === undefined ? -1 : files.findIndex(({ inode }) => inode === this.#inode);
    return files[index + 1];
  }

  /** False when another file has the name by now. */
  async #open({ file, inode }: LogFile, offset: number): Promise<boolean> {
    const handle = await open(path.join(this.#folder, file)).catch((error: unknown) => {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    });
    if (handle === undefined) return false;
    if ((await handle.stat()).ino !== inode) {
      await handle.close();
      return false;
    }
    const starts = await readStarts(this.#folder);
    const noted = starts[file] ?? (file === currentLog ? 0 : undefined);
    const end = this.#start === undefined ? undefined : this.#start + this.#offset;
    // What has just been rotated is not noted yet; a log only goes on.
    this.#start = end === undefined ? noted : Math.max(end, noted ?? end);
    if (end !== undefined && this.#start !== undefined) this.#gap += this.#start - end;
    await this.close();
    this.#handle = handle;
    this.#inode = inode;
    this.#offset = offset;
    this.#carry = Buffer.alloc(0);
    return true;
  }
}

/** Wakes when the folder changes, a signal aborts, or the safety time is over. */
class Wake {
  readonly #watcher: { close(): void };
  readonly #signals: readonly AbortSignal[];
  #resolve = (): void => {};
  #promise: Promise<void> = Promise.resolve();

  constructor(folder: string, signals: readonly AbortSignal[]) {
    this.#signals = signals;
    try {
      this.#watcher = watch(folder, () => this.#resolve()).on('error', () => this.#resolve());
    } catch {
      this.#watcher = { close: () => {} }; // The folder has just gone, or no watches are left; the safety time does.
    }
  }

  arm(): void {
    this.#promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  async happened(): Promise<void> {
    const timer = setTimeout(this.#resolve, safetyMs);
    for (const signal of this.#signals) {
      if (signal.aborted) this.#resolve();
      signal.addEventListener('abort', this.#resolve, { once: true });
    }
    await this.#promise;
    clearTimeout(timer);
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#resolve);
  }

  close(): void {
    this.#watcher.close();
  }
}
