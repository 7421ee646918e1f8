import { isEruError } from '@eru/kit';

import type { LogEntry, LogOptions } from '../engine.ts';
import { frames, unframed } from './frames.ts';
import type { DockerHttp } from './http-client.ts';
import { justAfter, logLines, momentOfMs } from './log-lines.ts';
import { runState } from './state.ts';
import type { Container } from './wire-types.ts';

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
  let since = sinceMs === undefined ? undefined : momentOfMs(sinceMs);
  const until = untilMs === undefined ? undefined : momentOfMs(untilMs);
  for (let run = 1; ; run++) {
    let startedAt: string;
    try {
      const { Config, State } = await inspect(signal);
      startedAt = State.StartedAt;
      const query = {
        stdout: true,
        stderr: true,
        timestamps: true,
        follow,
        since,
        until,
        tail: run === 1 ? tail : undefined,
      };
      const response = await http.stream({ method: 'GET', path: `/containers/${id}/logs`, query, signal });
      for await (const { at, entry } of logLines((Config.Tty ? unframed : frames)(response))) {
        since = justAfter(at);
        yield entry;
      }
    } catch (error) {
      if (run > 1 && isEruError(error, 'not_found')) return; // removed since its last run
      throw error;
    }
    if (!follow || (untilMs !== undefined && Date.now() >= untilMs)) return;
    // All up to the end of this run was given, though it may not have said a word.
    since ??= momentOfMs(Date.parse(startedAt));
    if (!(await nextRun(http, inspect, id, startedAt, signal))) return;
  }
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
    // Heard from before the first look, so that nothing is missed between.
    const response = await http.stream({ method: 'GET', path: '/events', query: { filters }, signal: both });
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
