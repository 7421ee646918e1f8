import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { Clock, Logger } from '@eru/kit';
import { EruError, isJsonObject, readIfExists, writeFileAtomic } from '@eru/kit';

import type { LogCursor } from './cursor.ts';

const saveEveryMs = 1_000;

/** How far each workload's log has been delivered, kept in a file over restarts. */
export class Cursors {
  readonly #file: string | undefined;
  readonly #known: Map<string, LogCursor>;
  /** Logs are forwarded from this moment on: when this node's agent first forwarded any. */
  readonly #bornMs: number;
  #dirty = true;

  private constructor(file: string | undefined, bornMs: number, known: Map<string, LogCursor>) {
    this.#file = file;
    this.#bornMs = bornMs;
    this.#known = known;
  }

  /** Without a folder they last as long as the process. A file that cannot be read is begun anew, and said. */
  static async open(folder: string | undefined, clock: Clock, logger: Logger): Promise<Cursors> {
    if (folder === undefined) return new Cursors(undefined, clock.now(), new Map());
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const file = path.join(folder, 'log-cursors.json');
    try {
      const text = await readIfExists(file);
      if (text === undefined) return new Cursors(file, clock.now(), new Map());
      const { bornMs, workloads } = JSON.parse(text) as { bornMs?: unknown; workloads?: unknown };
      if (typeof bornMs !== 'number' || !isJsonObject(workloads)) throw new EruError('invalid', 'not what was written');
      return new Cursors(file, bornMs, new Map(Object.entries(workloads as unknown as Record<string, LogCursor>)));
    } catch (error) {
      logger.warn({ file, err: EruError.from(error) }, 'cannot be read; logs are forwarded from now on');
      return new Cursors(file, clock.now(), new Map());
    }
  }

  of(id: string): LogCursor {
    return this.#known.get(id) ?? { atMs: this.#bornMs, count: 0, seq: 0 };
  }

  /** Delivered up to here. */
  commit(id: string, cursor: LogCursor): void {
    if (cursor.seq <= this.of(id).seq) return;
    this.#known.set(id, cursor);
    this.#dirty = true;
  }

  forget(id: string): void {
    if (this.#known.delete(id)) this.#dirty = true;
  }

  /** Those of workloads that went away while nobody looked. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.forget(id);
  }

  /** Saves again and again until aborted. */
  async run(clock: Clock, logger: Logger, signal: AbortSignal): Promise<void> {
    for (;;) {
      await clock.sleep(saveEveryMs, signal);
      await this.save().catch((error: unknown) => {
        logger.warn({ err: EruError.from(error) }, 'how far logs are forwarded could not be saved; trying again');
      });
    }
  }

  async save(): Promise<void> {
    if (this.#file === undefined || !this.#dirty) return;
    this.#dirty = false;
    const text = JSON.stringify({ v: 1, bornMs: this.#bornMs, workloads: Object.fromEntries(this.#known) });
    try {
      await writeFileAtomic(this.#file, `${text}\n`, 0o600);
    } catch (error) {
      this.#dirty = true;
      throw error;
    }
  }
}
