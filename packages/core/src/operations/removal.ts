import { retry } from '@eru/kit';
import { type Engine, labelNames } from '@eru/engines';

import type { Context } from '../context.ts';

/** An engine object, by its id or, before that is known, by its name and its operation's label. */
export interface ObjectName {
  name: string;
  operation: string;
  id: string;
}

/** Removes an object by force and resolves when it is gone, however long its engine is silent. */
export async function removeUntilGone(
  { clock, random }: Context,
  engine: () => Engine,
  object: ObjectName,
  signal: AbortSignal,
  onFailure: (error: unknown) => void,
): Promise<void> {
  await retry(
    async () => {
      const id = object.id === '' ? await find(engine(), object, signal) : object.id;
      if (id !== undefined) await engine().remove(id, { force: true, signal });
    },
    { signal, clock, random, baseMs: 200, maxMs: 15_000, onRetry: onFailure },
  );
}

async function find(engine: Engine, { name, operation }: ObjectName, signal: AbortSignal): Promise<string | undefined> {
  const objects = await engine.list({ labels: { [labelNames.operation]: operation }, signal });
  return objects.find((object) => object.name === name)?.id;
}
