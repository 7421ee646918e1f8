import type { Clock, Logger } from '@eru/kit';
import { EruError } from '@eru/kit';

import { Bell } from '../bell.ts';
import type { LogCursor } from './cursor.ts';
import type { Cursors } from './cursors.ts';
import type { Spool } from './spool.ts';
import type { Sent, Target } from './target.ts';

const batchBytes = 64 * 1024;
const spillBytes = 256 * 1024;
/** A target that takes nothing for so long is given up, if another one is there. */
const stallMs = 15_000;
/** What is on its way may still arrive when the agent stops. */
const farewellMs = 2_000;
const longestNapMs = 60_000;

export interface QueuedLine {
  /** One JSON line with its newline. */
  text: Buffer;
  id: string;
  cursor: LogCursor;
}

export interface LaneOptions {
  /** Its own target first, then those that stand in for it. */
  targets: readonly Target[];
  /** Bytes held in memory. */
  queueBytes: number;
  spool: Spool | undefined;
  cursors: Cursors;
  clock: Clock;
  logger: Logger;
}

/** What a lane has done since it began. */
export interface LaneFigures {
  lines: number;
  bytes: number;
  inDoubt: number;
  refused: number;
  /** What the engine's log gave up before it was read. */
  lostBytes: number;
}

/**
 * The lines of all workloads that have one target, in order: memory first, then the disk if there is a spool, then nothing
 * more is taken, and readers wait. They read the engine's files, not the workloads, so nobody above notices.
 */
export class Lane {
  readonly figures: LaneFigures = { lines: 0, bytes: 0, inDoubt: 0, refused: 0, lostBytes: 0 };
  readonly #options: LaneOptions;
  readonly #news: Bell;
  readonly #spillNews: Bell;
  #queue: QueuedLine[] = [];
  #queuedBytes = 0;
  #spilling = false;
  #waiting: (() => void)[] = [];

  constructor(options: LaneOptions) {
    this.#options = options;
    this.#news = new Bell(options.clock);
    this.#spillNews = new Bell(options.clock);
  }

  get url(): string {
    return this.#options.targets[0]?.url ?? '';
  }

  get up(): boolean {
    return this.#options.targets[0]?.state === 'up';
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get spooledBytes(): number {
    return this.#options.spool?.bytes ?? 0;
  }

  /** False when it is full and the line was not taken. */
  offer(line: QueuedLine): boolean {
    if (this.#queuedBytes >= this.#options.queueBytes) return false;
    this.#queue.push(line);
    this.#queuedBytes += line.text.length;
    if (this.#queue.length === 1) this.#news.ring();
    if (this.#queuedBytes > this.#options.queueBytes / 2) this.#spillNews.ring();
    return true;
  }

  /** Resolves when it may have room; rejects when aborted. */
  room(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => reject(signal.reason as Error);
      if (signal.aborted) return abort();
      signal.addEventListener('abort', abort, { once: true });
      this.#waiting.push(() => {
        signal.removeEventListener('abort', abort);
        resolve();
      });
    });
  }

  /** A target has come or gone. */
  changed(): void {
    this.#news.ring();
  }

  /** Until aborted; rejects when what was on its way has arrived or is given up. */
  async run(signal: AbortSignal): Promise<void> {
    const tasks = [this.#deliver(signal), this.#spill(signal)];
    try {
      await Promise.all(tasks);
    } finally {
      await Promise.allSettled(tasks);
      await this.#options.spool?.save();
    }
  }

  async save(): Promise<void> {
    await this.#options.spool?.save();
  }

  async #deliver(signal: AbortSignal): Promise<void> {
    const { spool, targets, logger } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const target = chosen(targets);
      const waits = this.#queue.length === 0 && this.spooledBytes === 0;
      if (target === undefined || waits || this.#spilling) {
        await this.#news.wait(longestNapMs, signal);
        continue;
      }
      if (spool === undefined || spool.bytes === 0) {
        const lines = this.#take(batchBytes);
        await this.#send(
          target,
          lines.map(({ text }) => text),
          signal,
        );
        this.#commit(lines);
        continue;
      }
      try {
        const lines = await spool.read(batchBytes);
        await this.#send(target, lines, signal);
        await spool.acknowledge(lines);
        if (!spool.full) this.#spillNews.ring();
      } catch (error) {
        signal.throwIfAborted();
        logger.error({ target: this.url, err: EruError.from(error) }, 'the log spool cannot be read; trying again');
        await this.#options.clock.sleep(stallMs, signal);
      }
    }
  }

  /** To the end, whatever it is: delivered, refused, or in doubt. */
  async #send(target: Target, lines: readonly Buffer[], signal: AbortSignal): Promise<void> {
    if (lines.length === 0) return;
    const { clock, targets } = this.#options;
    const look = (): void => {
      if (targets.some((other) => other !== target && other.state === 'up')) target.reset();
      timer = clock.timer(stallMs, look);
    };
    let timer = clock.timer(stallMs, look);
    const leave = (): void => {
      timer.cancel();
      timer = clock.timer(farewellMs, () => target.reset());
    };
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, { once: true });
    try {
      this.#count(lines, await target.send(lines));
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', leave);
    }
  }

  #count(lines: readonly Buffer[], { inDoubt, refused }: Sent): void {
    const { figures } = this;
    figures.lines += lines.length - inDoubt - refused;
    figures.inDoubt += inDoubt;
    figures.refused += refused;
    figures.bytes += lines.reduce((sum, { length }) => sum + length, 0);
  }

  /** The oldest half of what is too much goes to the disk, so that what is there is always older than what is in memory. */
  async #spill(signal: AbortSignal): Promise<void> {
    const { spool, queueBytes, clock, logger } = this.#options;
    if (spool === undefined) return;
    for (;;) {
      signal.throwIfAborted();
      if (this.#queuedBytes <= queueBytes / 2 || spool.full) {
        await this.#spillNews.wait(longestNapMs, signal);
        continue;
      }
      const lines = this.#take(spillBytes);
      this.#spilling = true;
      try {
        await spool.append(lines.map(({ text }) => text));
        this.#commit(lines);
      } catch (error) {
        this.#queue = [...lines, ...this.#queue];
        this.#queuedBytes += lines.reduce((sum, { text }) => sum + text.length, 0);
        logger.warn({ target: this.url, err: EruError.from(error) }, 'the log spool cannot be written; trying again');
        await clock.sleep(stallMs, signal);
      } finally {
        this.#spilling = false;
        this.#news.ring();
      }
    }
  }

  #take(mostBytes: number): QueuedLine[] {
    let bytes = 0;
    let end = 0;
    while (end < this.#queue.length && bytes < mostBytes) bytes += this.#queue[end++]?.text.length ?? 0;
    const taken = this.#queue.splice(0, end);
    this.#queuedBytes -= bytes;
    for (const resume of this.#waiting.splice(0)) resume();
    return taken;
  }

  #commit(lines: readonly QueuedLine[]): void {
    const last = new Map(lines.map(({ id, cursor }) => [id, cursor]));
    for (const [id, cursor] of last) this.#options.cursors.commit(id, cursor);
  }
}

/** The first that is up. One of which nobody knows yet is waited for: it is about to be tried. */
function chosen(targets: readonly Target[]): Target | undefined {
  const target = targets.find(({ state }) => state !== 'down');
  return target?.state === 'up' ? target : undefined;
}
