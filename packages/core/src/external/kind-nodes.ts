import { EruError, isEruError } from '@eru/kit';
import type { MachineInfo, Resources } from '@eru/scheduler';

import type { CommitResult, OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import { partOf } from './kinds.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';

type Write = (ends: readonly OwnWrite[]) => Promise<CommitResult>;

/**
 * Adds a node to external kinds and, with `write`, to the store. Whatever fails between the two leaves a claim, and kinds
 * forget a node that the store does not have.
 */
export async function withNodeAdded(
  context: Context,
  tenure: Tenure,
  { name, request, machine }: { name: string; request: Resources; machine: MachineInfo },
  write: Write,
): Promise<void> {
  const { external, store } = context;
  if (external === undefined) return void (await write([]));
  await external.claims.hold(tenure, [name], async (holds) => {
    const hold = holds.get(name);
    if (hold === undefined || (await store.get(keys.node(name), { signal: tenure.signal })) !== undefined)
      throw new EruError('exists', 'node already exists', { details: { node: name } });
    try {
      await effect(context, tenure, () => external.kinds.addNode(name, request, machine));
      hold.open = true;
      hold.ended = (await write([hold.end()])).committed;
    } catch (error) {
      // A kind that knew the node before is left as it was.
      const unclear = hold.open || !isEruError(error, 'exists');
      if (unclear && !tenure.signal.aborted)
        await external.claims.settle(tenure, hold).catch((err: unknown) => {
          context.logger.warn({ err, node: name }, 'an external resource kind does not forget a node yet');
        });
      throw error;
    }
  });
}

/** Removes a node from the store and then from external kinds, for as long as it takes: nobody waits for that. */
export async function withNodeRemoved(
  context: Context,
  tenure: Tenure,
  name: string,
  write: () => Promise<void>,
): Promise<void> {
  const { external } = context;
  if (external === undefined) return write();
  await external.claims.hold(
    tenure,
    [name],
    async (holds) => {
      await write();
      const hold = holds.get(name);
      if (hold === undefined) return;
      hold.failed = true;
      await external.claims.settle(tenure, hold).catch((err: unknown) => {
        context.logger.warn({ err, node: name }, 'an external resource kind does not forget a node yet');
      });
    },
    { unsettled: true },
  );
}

/** Changes the capacity of external kinds that a request speaks of, ahead of the transaction. */
export async function withCapacitySet<T>(
  context: Context,
  tenure: Tenure,
  { name, resources, delta }: { name: string; resources: Resources; delta: boolean },
  write: () => Promise<T>,
): Promise<T> {
  const { external } = context;
  const asked = external === undefined ? {} : partOf(resources, external.kinds.names);
  if (external === undefined || Object.keys(asked).length === 0) return write();
  return external.claims.hold(tenure, [name], async () => {
    await effect(context, tenure, () => external.kinds.setCapacity(name, asked, { delta }));
    return write();
  });
}
