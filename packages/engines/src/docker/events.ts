import { EruError, invalid } from '@eru/kit';

import type { EngineEvent } from '../engine.ts';
import { labelNames } from '../engine.ts';
import type { DockerHttp } from './http-client.ts';
import { momentOf, momentOfMs } from './log-lines.ts';
import type { DockerEvent } from './wire-types.ts';

type Change = Exclude<EngineEvent, { type: 'ready' }>['type'];

/** Docker's words, and those of sockets that speak like it. */
const changes: Readonly<Record<string, Change>> = {
  create: 'created',
  start: 'started',
  die: 'exited',
  died: 'exited',
  pause: 'paused',
  unpause: 'resumed',
  update: 'updated',
  destroy: 'removed',
  remove: 'removed',
};

/**
 * What happens to our containers. A cursor is the time of an event in nanoseconds. The daemon remembers its last 256 events and
 * none after a restart, so one goes on from a cursor only if its event is still there; else `compacted`. A stream that
 * breaks (the daemon restarts) ends with `unavailable`.
 */
export async function* containerEvents(
  http: DockerHttp,
  after: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<EngineEvent> {
  const cursor = after === undefined ? undefined : readCursor(after);
  if (cursor?.event === true && !(await isKnown(http, cursor.at, signal)))
    throw new EruError('compacted', `after: docker does not remember what happened at ${after}; list again`);
  const begun = BigInt(Date.now()) * 1_000_000n;
  const since = cursor === undefined ? await podmansNow(http, signal) : momentOf(cursor.at);
  const query = { filters: await ofOurs(http), since };
  const response = await http.stream({ method: 'GET', path: '/events', query, signal });
  yield { type: 'ready', cursor: after ?? `t${begun}` };
  for await (const line of http.lines(response)) {
    const { Action, Actor, nanoseconds } = parse(line);
    const type = changes[Action];
    if (
      type === undefined ||
      !(labelNames.eru in Actor.Attributes) ||
      (cursor?.event === true && nanoseconds <= cursor.at)
    )
      continue;
    const atMs = Number(nanoseconds / 1_000_000n);
    yield { type, cursor: String(nanoseconds), atMs, id: Actor.ID, name: Actor.Attributes['name'] ?? '' };
  }
  throw new EruError('unavailable', 'docker ended its event stream; it is stopping or starting again');
}

/** The second that Podman's clock shows: it begins to listen a moment after it has answered, unless it is asked for what was before. */
async function podmansNow(http: DockerHttp, signal: AbortSignal): Promise<string | undefined> {
  if ((await http.daemon()) === 'docker') return undefined;
  const { headers } = (await http.stream({ method: 'GET', path: '/_ping', signal })).resume();
  return momentOfMs(Date.parse(headers.date ?? ''));
}

/** Podman finds no label by its name alone. */
async function ofOurs(http: DockerHttp): Promise<string> {
  const label = (await http.daemon()) === 'docker' ? { label: [labelNames.eru] } : {};
  return JSON.stringify({ type: ['container'], ...label });
}

/** The time has more digits than JSON's numbers keep. */
function parse(line: string): DockerEvent & { nanoseconds: bigint } {
  const digits = /"timeNano":(\d+)/.exec(line)?.[1] ?? '0';
  return { ...(JSON.parse(line) as DockerEvent), nanoseconds: BigInt(digits) };
}

/** `t` before a moment at which a stream stood; without, the time of an event. */
function readCursor(text: string): { at: bigint; event: boolean } {
  const [, mark, digits] = /^(t?)(\d{1,19})$/.exec(text) ?? [];
  if (digits === undefined) throw invalid('after', text, 'give the cursor of an event');
  return { at: BigInt(digits), event: mark === '' };
}

async function isKnown(http: DockerHttp, at: bigint, signal: AbortSignal): Promise<boolean> {
  // Podman reads times as numbers with 53 bits, and tells nothing up to a moment that has passed.
  const end = (await http.daemon()) === 'podman' ? { stream: false } : { until: momentOf(at + 1n) };
  const query = { filters: await ofOurs(http), since: momentOf(at - 1000n), ...end };
  const response = await http.stream({ method: 'GET', path: '/events', query, signal });
  for await (const line of http.lines(response)) if (parse(line).nanoseconds === at) return true;
  return false;
}
