import { withConnection } from './connection.ts';
import type { Context } from './context.ts';
import { Outcomes } from './outcomes.ts';
import * as values from './values.ts';
import { findWorkloads } from './workloads.ts';

interface ControlFlags {
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
  return (context: Context, { force = false }: ControlFlags, words: string[]): Promise<number> =>
    withConnection(context, async (connection) => {
      const { signal } = context;
      const found = await findWorkloads(connection, words, signal);
      const outcome = new Outcomes(context, found, verbs[type]);
      const IDs = found.map(({ record }) => record?.id ?? '');
      for await (const { id, error, hook } of connection.core.controlWorkload({ IDs, type, force }, { signal }))
        outcome.tell(id, error, hook);
      return outcome.end();
    });
}

/** Forgets workloads; what they run goes on, and is never touched again. */
export function dissociate(context: Context, _flags: unknown, words: string[]): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    const outcome = new Outcomes(context, found, 'dissociated');
    const IDs = found.map(({ record }) => record?.id ?? '');
    for await (const { id, error } of connection.core.dissociateWorkload({ IDs }, { signal }))
      outcome.tell(id, error, new Uint8Array());
    return outcome.end();
  });
}

interface RemoveFlags extends ControlFlags {
  grace?: string;
}

/** Stops first, runs the hooks, and answers when the workloads are gone. */
export function remove(context: Context, { force = false, grace }: RemoveFlags, words: string[]): Promise<number> {
  const graceMs = grace === undefined ? 0 : values.flagged('--grace', values.duration, grace);
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const found = await findWorkloads(connection, words, signal);
    const outcome = new Outcomes(context, found, 'removed');
    const ids = found.map(({ record }) => record?.id ?? '');
    const request = { ids, force, grace: Math.ceil(graceMs / 1000) };
    for await (const { id, success, error, hook } of connection.eru.remove(request, { signal }))
      outcome.tell(id, success ? '' : error || 'failed', hook);
    return outcome.end();
  });
}
