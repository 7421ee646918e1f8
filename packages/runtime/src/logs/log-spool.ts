import { run } from '@eru/kit';
import type { FileHandle } from 'node:fs/promises';
import { open, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { FolderWatch } from './folder-watch.ts';
import type { LogLimits } from './log-files.ts';
import { currentLog, readNumbers, rotateLog } from './log-files.ts';
import { formatLog } from './log-format.ts';
import { Serial } from '../serial.ts';
import type { Output } from '../process/supervisor.ts';

const streams = ['stdout', 'stderr'] as const;
const blockBytes = 256 * 1024;
/** Taken-over output is given back to the disk in pieces of this size. */
const reclaimBytes = 8 * 1024 * 1024;
/** Output of one moment is taken over at once. */
const gatherMs = 20;

/**
 * Where no conmon writes the log, a workload appends its output to two plain files, whoever lives; this takes it over
 * into the log, with the time at which it was seen, and rotates there. Nothing is lost or doubled when the daemon is killed in between:
 * what was taken over is known together with the length that the log had then, and anything after that is cut off and done again.
 */
export class LogSpool implements Output {
  readonly #folder: string;
  readonly #log: string;
  readonly #limits: LogLimits;
  readonly #now: () => number;
  readonly #fallocate: string | undefined;
  readonly #serial = new Serial();
  readonly #reclaimed: Record<string, number> = {};
  #taken: Record<string, number> | undefined;
  #watch: FolderWatch | undefined;

  constructor(options: {
    folder: string;
    log: string;
    limits: LogLimits;
    now: () => number;
    fallocate: string | undefined;
  }) {
    this.#folder = options.folder;
    this.#log = options.log;
    this.#limits = options.limits;
    this.#now = options.now;
    this.#fallocate = options.fallocate;
  }

  watch(): void {
    // A full disk: tried again with the next output, and at the end.
    const take = (): void => void this.drain().catch(() => {});
    this.#watch ??= new FolderWatch(this.#folder, gatherMs, take);
    take();
  }

  /** Takes over what there is. */
  drain(): Promise<void> {
    return this.#serial.run(async () => {
      try {
        for (const stream of streams) await this.#drainStream(stream);
      } catch (error) {
        this.#taken = undefined; // A part may have been written; it is cut off before the next try.
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.#watch?.close();
    this.#watch = undefined;
    await this.#serial.idle();
  }

  async #drainStream(stream: 'stdout' | 'stderr'): Promise<void> {
    const spool = await open(path.join(this.#folder, stream)).catch(() => undefined);
    if (spool === undefined) return;
    try {
      const taken = (this.#taken ??= await this.#recover());
      for (;;) {
        const offset = taken[stream] ?? 0;
        const { bytesRead, buffer } = await spool.read(Buffer.alloc(blockBytes), 0, blockBytes, offset);
        if (bytesRead === 0) break;
        await this.#append(formatLog(stream, this.#now(), buffer.subarray(0, bytesRead)));
        taken[stream] = offset + bytesRead;
        await this.#remember(taken);
        await rotateLog(this.#log, this.#limits, async (file) => {
          await writeFile(file, '');
          await this.#remember(taken);
        });
      }
      await this.#reclaim(stream, taken[stream] ?? 0);
    } finally {
      await spool.close();
    }
  }

  /** Beside the folder, not in it: writing it is no news. */
  get #takenFile(): string {
    return `${this.#folder}.taken`;
  }

  async #append(data: Buffer): Promise<void> {
    let log: FileHandle | undefined;
    try {
      log = await open(path.join(this.#log, currentLog), 'a', 0o600);
      await log.writeFile(data);
    } finally {
      await log?.close();
    }
  }

  async #remember(taken: Record<string, number>): Promise<void> {
    const log = (await stat(path.join(this.#log, currentLog)).catch(() => undefined))?.size ?? 0;
    await writeFile(this.#takenFile, JSON.stringify({ ...taken, log }));
  }

  async #recover(): Promise<Record<string, number>> {
    const file = path.join(this.#log, currentLog);
    const { log, ...taken } = await readNumbers(this.#takenFile);
    const size = (await stat(file).catch(() => undefined))?.size ?? 0;
    // Shorter than it was: rotated since, and nothing was added.
    if (log !== undefined && size > log) await truncate(file, log);
    if (log === undefined) await this.#remember(taken);
    return taken;
  }

  /** The file keeps its length, so that the writer's and our offsets stay right; only its disk blocks go. */
  async #reclaim(stream: string, taken: number): Promise<void> {
    if (this.#fallocate === undefined || taken - (this.#reclaimed[stream] ?? 0) < reclaimBytes) return;
    this.#reclaimed[stream] = taken;
    await run(this.#fallocate, [
      '--punch-hole',
      '--offset',
      '0',
      '--length',
      String(taken),
      path.join(this.#folder, stream),
    ]);
  }
}
