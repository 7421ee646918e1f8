import { isEruError } from '@eru/kit';

import type { LogEntry, LogOptions } from '../engine.ts';
import { frames, unframed } from './frames.ts';
import type { Daemon, DockerHttp } from './http-client.ts';
import { justAfter, logLines, momentOfMs, type TimedLine } from './log-lines.ts';
import { runState } from './state.ts';
import type { Container } from './wire-types.ts';

/** How far a log has been read: `seen` lines after a time. */
interface Place {
  since: string | undefined;
  seen: number;
}

interface Query {
  follow: boolean;
  since?: string | undefined;
  until?: string | undefined;
  tail?: number | undefined;
}

/**
 * The log's lines. Docker ends a followed log when the container stops; ours goes on with its next run, after the last line
 * that was given.
 */
export async function* containerLogs(
  http: DockerHttp,
  inspect: (signal: AbortSignal) => Promise<Container>,
  id: string,
  { follow = false, tail, sinceMs, untilMs }: LogOptions,
  signal: AbortSignal,
): AsyncGenerator<LogEntry> {
  const daemon = await http.daemon();
  const until = untilMs === undefined ? undefined : momentOfMs(untilMs);
  let place: Place = { since: sinceMs === undefined ? undefined : momentOfMs(sinceMs), seen: 0 };
  let last: string | undefined;
  for (let run = 1; ; run++) {
    let startedAt: string;
    try {
      const { Config, State } = await inspect(signal);
      startedAt = State.StartedAt;
      const read = async function* (query: Query): AsyncGenerator<TimedLine> {
        const said = { stdout: true, stderr: true, timestamps: true, until, ...query };
        const response = await http.stream({ method: 'GET', path: `/containers/${id}/logs`, query: said, signal });
        yield* logLines((Config.Tty ? unframed : frames)(response));
      };
      const counted = run === 1 && follow && tail !== undefined && daemon === 'podman';
      if (counted) place = yield* countedTail(read, place.since, tail);
      let skip = place.seen;
      for await (const { at, entry } of read({
        follow,
        since: place.since,
        tail: run === 1 && !counted ? tail : undefined,
      })) {
        if (skip > 0) skip -= 1;
        else {
          place = after(place, at, last, daemon);
          yield entry;
        }
        last = at;
      }
    } catch (error) {
      if (run > 1 && isEruError(error, 'not_found')) return; // removed since its last run
      throw error;
    }
    if (!follow || (untilMs !== undefined && Date.now() >= untilMs)) return;
    // All up to the end of this run was given, though it may not have said a word.
    if (place.seen === 0) place.since ??= momentOfMs(Date.parse(startedAt));
    if (!(await nextRun(http, inspect, id, startedAt, signal))) return;
  }
}

/** Behind one more line. Docker's times tell lines apart; Podman's are whole seconds, whose lines are counted. */
function after({ since, seen }: Place, at: string, last: string | undefined, daemon: Daemon): Place {
  if (daemon === 'docker') return { since: justAfter(at), seen: 0 };
  return last === undefined || at === last ? { since, seen: seen + 1 } : { since: at, seen: 1 };
}

/** The last lines of a log whose times do not say where they begin: counted from the second on in which the first was said. */
async function* countedTail(
  read: (query: Query) => AsyncGenerator<TimedLine>,
  since: string | undefined,
  tail: number,
): AsyncGenerator<LogEntry, Place> {
  let from: string | undefined;
  for await (const { at } of read({ follow: false, since, tail: Math.max(1, tail) })) from ??= at;
  if (from === undefined) return { since, seen: 0 };
  if (since !== undefined && since > from) from = since;
  const lines: LogEntry[] = [];
  for await (const { entry } of read({ follow: false, since: from })) lines.push(entry);
  yield* lines.slice(Math.max(0, lines.length - tail));
  return { since: from, seen: lines.length };
}

/** Resolves when a run other than this one has begun; false when there will be none, because the container is gone. */
async function nextRun(
  http: DockerHttp,
  inspect: (signal: AbortSignal) => Promise<Container>,
  id: string,
  startedAt: string,
  signal: AbortSignal,
): Promise<boolean> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const filters = JSON.stringify({ container: [id], event: ['start', 'destroy'] });
  try {
    // Heard from before the first look, so that nothing is missed between. Podman begins to listen only after it has answered.
    const since = momentOfMs(Math.max(0, Date.parse(startedAt)));
    const response = await http.stream({ method: 'GET', path: '/events', query: { filters, since }, signal: both });
    const heard = http.lines(response);
    do {
      const container = await inspect(signal);
      if (container.State.StartedAt !== startedAt && runState(container) !== 'created') return true;
    } while (!(await heard.next()).done);
    return true;
  } catch (error) {
    if (isEruError(error, 'not_found')) return false;
    throw error;
  } finally {
    over.abort();
  }
}
