import { backoff } from '@eru/kit';
import type { Random } from '@eru/kit';

import type { Report } from './report.ts';
import { textOf } from './report.ts';
import { reportLifeMs } from './timing.ts';

/** First and longest pause before an id that core does not know is reported again. */
const unknownPause = { baseMs: 1_000, maxMs: 300_000 };

/**
 * What one workload may take of the status stream, however it behaves: this many reports at once, and then one per pause
 * (docs/agent.md). What is held back is replaced by what is newer.
 */
const burst = 6;
const pauseMs = 10_000;

interface Entry {
  report: Report;
  text: string;
  /** What core has for certain; undefined while a call with it is under way or has failed. */
  known: { text: string; untilMs: number } | undefined;
  /** What is on its way to core. */
  flying: string | undefined;
  /** How often in a row core did not know the id. */
  unknown: number;
  /** When all that it has taken of its share is forgiven. */
  paidAtMs: number;
}

export interface Batch {
  reports: Report[];
  texts: ReadonlyMap<string, string>;
}

/**
 * What is to be told to core, and what it has been told: the newest report of each workload and nothing older, so that it
 * holds as much after a day without core as after a minute. Times are of one monotonic clock.
 */
export class Outbox {
  readonly #lifeMs: number;
  readonly #random: Random;
  readonly #entries = new Map<string, Entry>();
  /** id -> when it may be sent */
  readonly #due = new Map<string, number>();

  constructor(lifeMs: number, random: Random) {
    this.#lifeMs = lifeMs;
    this.#random = random;
  }

  /** True when it has to be sent: it is news, or the last time was too long ago. */
  offer(report: Report, nowMs: number): boolean {
    const text = textOf(report);
    const entry = this.#entries.get(report.id);
    if (entry === undefined) {
      this.#entries.set(report.id, { report, text, known: undefined, flying: undefined, unknown: 0, paidAtMs: nowMs });
      this.#due.set(report.id, nowMs);
      return true;
    }
    const changed = entry.text !== text;
    Object.assign(entry, { report, text });
    if (entry.flying === text || (entry.known?.text === text && nowMs < entry.known.untilMs)) {
      this.#due.delete(report.id);
      return false;
    }
    const due = this.#due.get(report.id);
    // An unknown id waits for its turn, unless there is news: it may well have been recorded since.
    if (due === undefined || changed) this.#due.set(report.id, Math.max(nowMs, allowedMs(entry)));
    return true;
  }

  /** The workload is gone: core needs no more of it. */
  forget(id: string): void {
    this.#entries.delete(id);
    this.#due.delete(id);
  }

  /** Core may have lost or overwritten everything: tell it all again. */
  reset(nowMs: number): void {
    for (const [id, entry] of this.#entries) {
      entry.known = undefined;
      entry.flying = undefined;
      this.#due.set(id, Math.max(nowMs, allowedMs(entry)));
    }
  }

  /** When the next report may be sent; undefined when there is none. */
  nextDueMs(): number | undefined {
    let first: number | undefined;
    for (const dueMs of this.#due.values()) first = Math.min(first ?? dueMs, dueMs);
    return first;
  }

  take(limit: number, nowMs: number): Batch {
    const reports: Report[] = [];
    const texts = new Map<string, string>();
    for (const [id, dueMs] of this.#due) {
      if (reports.length === limit) break;
      const entry = this.#entries.get(id);
      if (dueMs > nowMs || entry === undefined) continue;
      this.#due.delete(id);
      entry.known = undefined;
      entry.flying = entry.text;
      reports.push(entry.report);
      texts.set(id, entry.text);
    }
    return { reports, texts };
  }

  /** Core has taken the batch, except the ids it has no record of. */
  delivered({ texts }: Batch, unknown: ReadonlySet<string>, nowMs: number): void {
    for (const [id, text] of texts) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.flying = undefined;
      if (unknown.has(id)) {
        entry.unknown += 1;
        const waitMs = backoff(entry.unknown, { ...unknownPause, random: this.#random });
        if (!this.#due.has(id)) this.#due.set(id, nowMs + waitMs);
        continue;
      }
      entry.unknown = 0;
      entry.paidAtMs = Math.max(entry.paidAtMs, nowMs) + pauseMs;
      const due = this.#due.get(id);
      if (due !== undefined) this.#due.set(id, Math.max(due, allowedMs(entry)));
      entry.known = { text, untilMs: nowMs + reportLifeMs(this.#lifeMs, this.#random.next()) };
    }
  }

  /** Nobody knows what became of the batch. */
  failed({ texts }: Batch, nowMs: number): void {
    for (const id of texts.keys()) {
      const entry = this.#entries.get(id);
      if (entry === undefined) continue;
      entry.flying = undefined;
      if (!this.#due.has(id)) this.#due.set(id, nowMs);
    }
  }
}

function allowedMs({ paidAtMs }: Entry): number {
  return paidAtMs - (burst - 1) * pauseMs;
}
