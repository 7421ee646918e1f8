import { withConnection } from './connection.ts';
import type { Context } from './context.ts';
import { exitCodes } from './context.ts';
import { colorsFor, say } from './output.ts';
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

interface Named {
  record?: { id: string; name: string } | undefined;
}

/** Tells of each item as it comes, and what all of them amount to. */
class Outcomes {
  readonly #context: Context;
  readonly #waiting: Map<string, string>;
  readonly #verb: string;
  #failed = false;

  constructor(context: Context, items: readonly Named[], verb: string) {
    this.#context = context;
    this.#waiting = new Map(items.map(({ record }) => [record?.id ?? '', record?.name ?? '']));
    this.#verb = verb;
  }

  tell(id: string, error: string, hook: Uint8Array): void {
    const name = this.#waiting.get(id) ?? id;
    this.#waiting.delete(id);
    const colors = colorsFor(this.#context.stderr, this.#context.env);
    if (error === '') say(this.#context, `${name} ${this.#verb}`);
    else say(this.#context, colors.red(`${name} failed: ${error}`));
    this.#failed ||= error !== '';
    if (hook.length > 0) say(this.#context, Buffer.from(hook).toString().trimEnd());
  }

  /** An item that nobody told of has not been done. */
  end(): number {
    for (const [id] of this.#waiting) this.tell(id, 'core did not say what became of it', new Uint8Array());
    return this.#failed ? exitCodes.someFailed : exitCodes.ok;
  }
}
