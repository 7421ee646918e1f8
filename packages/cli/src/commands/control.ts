import type { eru } from '@eru/contract';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { Outcomes } from '../show/outcomes.ts';
import * as values from '../spec/values.ts';
import { findWorkloads } from '../workloads.ts';

interface KeyFlags {
  key?: string;
}

interface ControlFlags extends KeyFlags {
  force?: boolean;
}

const verbs = {
  start: 'started',
  stop: 'stopped',
  restart: 'restarted',
  suspend: 'suspended',
  resume: 'resumed',
} as const;

/** All words are known before the first is touched; the others go on when one fails. */
export function control(type: keyof typeof verbs) {
  return (context: Context, { force = false, key = '' }: ControlFlags, words: string[]): Promise<number> =>
    withConnection(context, async (connection) => {
      const { signal } = context;
      const found = await findWorkloads(connection, words, signal);
      const outcome = new Outcomes(context, found, verbs[type]);
      const request = { ids: idsOf(found), type, force, idempotencyKey: key };
      return told(connection.eru.control(request, { signal }), outcome);
    });
}

/** Forgets workloads; what they run goes on, and is never touched again. */
export function dissociate(context: Context, { key = '' }: KeyFlags, words: string[]): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    const outcome = new Outcomes(context, found, 'dissociated');
    const request = { ids: idsOf(found), idempotencyKey: key };
    return told(connection.eru.dissociate(request, { signal }), outcome);
  });
}

interface RemoveFlags extends ControlFlags {
  grace?: string;
}

/** Stops first, runs the hooks, and answers when the workloads are gone. */
export function remove(
  context: Context,
  { force = false, grace, key = '' }: RemoveFlags,
  words: string[],
): Promise<number> {
  const graceMs = grace === undefined ? 0 : values.flagged('--grace', values.duration, grace);
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    const outcome = new Outcomes(context, found, 'removed');
    const request = { ids: idsOf(found), force, grace: Math.ceil(graceMs / 1000), idempotencyKey: key };
    return told(connection.eru.remove(request, { signal }), outcome);
  });
}

interface Event {
  id: string;
  success: boolean;
  error: string;
  hook?: Uint8Array;
}

async function told(events: AsyncIterable<Event>, outcome: Outcomes): Promise<number> {
  for await (const { id, success, error, hook } of events) outcome.tell(id, success ? '' : error || 'failed', hook);
  return outcome.end();
}

function idsOf(found: readonly eru.Workload[]): string[] {
  return found.map(({ record }) => record?.id ?? '');
}
