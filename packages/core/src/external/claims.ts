import { deadline, EruError, isEruError } from '@eru/kit';

import { learn } from '../operations/booking.ts';
import { caughtUp } from '../catch-up.ts';
import type { OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import type { ExternalKinds } from './kinds.ts';
import { keys } from '../state/keys.ts';
import { machineAt } from '../nodes/machine.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type ExternalClaimRecord, type Owner } from '../state/records.ts';

/** The right to change what external kinds have booked on one node. */
export class ExternalHold {
  readonly node: string;
  /** Of the claim. */
  readonly revision: number;
  /** A call was made whose effect the store does not say yet: whoever comes next must settle the node. */
  open = false;
  /** A call has failed that may not be waited for: the transaction goes on, and leaves the node to be settled. */
  failed = false;
  /** The claim has ended with a transaction. */
  ended = false;

  constructor(node: string, revision: number) {
    this.node = node;
    this.revision = revision;
  }

  /** Ends the claim, within the transaction that makes the change true. */
  end(): OwnWrite {
    return this.#end(this.failed);
  }

  /** Ends the claim when there was no such transaction. */
  abandon(): OwnWrite {
    return this.#end(this.open || this.failed);
  }

  #end(unsettled: boolean): OwnWrite {
    const at = { key: keys.external(this.node), revision: this.revision };
    return unsettled ? { ...at, value: encode({ v: 1, owner: null } satisfies ExternalClaimRecord) } : at;
  }
}

/**
 * Who may call external kinds about a node (docs/protocol.md, "External resource kinds"). While nobody holds a node, every kind
 * has booked there exactly the sum of the node's records and slots; so each transaction that changes this sum ends a claim.
 * A claim that was left, by a core that died or by a kind that failed, says that the sum is not known: the next one settles it first.
 */
export class ExternalClaims {
  readonly #context: Context;
  readonly #kinds: ExternalKinds;
  /** Held when a tenure ended: a call that was under way may have come after whoever settled the node. */
  readonly doubtful = new Set<string>();

  constructor(context: Context, kinds: ExternalKinds) {
    this.#context = context;
    this.#kinds = kinds;
  }

  /**
   * Runs `work` holding nodes, in name order. `busy` when a living core holds one for longer than the lock timeout. A node
   * that cannot be settled is an error, or, with `unsettled`, a hold that has `failed`.
   */
  async hold<T>(
    tenure: Tenure,
    nodes: Iterable<string>,
    work: (holds: ReadonlyMap<string, ExternalHold>) => Promise<T>,
    options: { unsettled?: boolean } = {},
  ): Promise<T> {
    const { turns, committer, logger } = this.#context;
    const names = [...new Set(nodes)].toSorted();
    return turns.hold(
      names.map((node) => `external ${node}`),
      async () => {
        const holds = new Map<string, ExternalHold>();
        try {
          for (const node of names) {
            const { hold, left } = await this.#claim(tenure, node);
            holds.set(node, hold);
            if (left || this.doubtful.has(node))
              await this.settle(tenure, hold).then(
                () => this.doubtful.delete(node),
                (error: unknown) => {
                  if (options.unsettled !== true || tenure.signal.aborted) throw error;
                  logger.warn({ err: error, node }, 'external resource kinds cannot be settled yet');
                  hold.failed = true;
                },
              );
          }
          return await work(holds);
        } finally {
          const left = [...holds.values()].filter(({ ended }) => !ended);
          if (tenure.signal.aborted) for (const { node } of left) this.doubtful.add(node);
          else if (left.length > 0)
            await committer.commit(tenure, { own: left.map((hold) => hold.abandon()) }).catch((error: unknown) => {
              logger.debug({ err: error, nodes: names }, 'cannot end a claim on external kinds; it is settled later');
            });
        }
      },
    );
  }

  /** Left behind: nobody changes the node, and nobody knows what its kinds have booked. */
  isLeft(node: string): boolean {
    const { view } = this.#context;
    const claim = view.external.get(node)?.value;
    return claim !== undefined && !this.#isAlive(claim);
  }

  /** Makes what every kind has booked on a held node the sum of its records and slots; of a node that is gone, nothing. */
  async settle(tenure: Tenure, hold: ExternalHold): Promise<void> {
    const { view } = this.#context;
    const { node } = hold;
    hold.open = true;
    // What made the last change true came before our claim.
    await caughtUp(this.#context, hold.revision, tenure.signal);
    const workloads = view.booked(node).get(node) ?? [];
    await effect(this.#context, tenure, async () => {
      if (view.nodes.get(node) === undefined) return this.#kinds.removeNode(node);
      try {
        await this.#kinds.settle(node, workloads);
      } catch (error) {
        if (!isEruError(error, 'not_found')) throw error;
        await this.#kinds.adopt(node, await machineAt(this.#context, node, tenure.signal), workloads);
        await this.#kinds.settle(node, workloads);
      }
    });
    hold.open = false;
    hold.failed = false;
  }

  async #claim(tenure: Tenure, node: string): Promise<{ hold: ExternalHold; left: boolean }> {
    const { view, committer, clock, limits } = this.#context;
    const key = keys.external(node);
    const limit = deadline(clock, limits.lockTimeoutMs, tenure.signal);
    try {
      for (;;) {
        const known = view.external.get(node);
        const owner = known?.value.owner ?? null;
        if (known !== undefined && this.#isAlive(known.value) && !isOf(tenure, owner)) {
          const changed = (): boolean =>
            view.external.get(node)?.modRevision !== known.modRevision || !this.#isAlive(known.value);
          await view.until(() => changed() || undefined, limit.signal);
          continue;
        }
        // One of ours that nobody runs (we have the turn), or a dead core's.
        const compare =
          owner === null || isOf(tenure, owner)
            ? []
            : [{ key: keys.core(owner.core), target: 'create' as const, op: '!=' as const, value: owner.epoch }];
        const value = encode({ v: 1, owner: tenure.owner } satisfies ExternalClaimRecord);
        const result = await committer.commit(tenure, {
          own: [{ key, revision: known?.modRevision ?? 0, value }],
          compare,
        });
        if (!result.committed) {
          learn(this.#context, result, [key, ...compare.map((one) => one.key)]);
          limit.signal.throwIfAborted();
          continue;
        }
        return { hold: new ExternalHold(node, result.revision), left: known !== undefined };
      }
    } catch (error) {
      if (!limit.signal.aborted || tenure.signal.aborted) throw error;
      throw new EruError(
        'busy',
        `node ${node}: another core is changing its external resource kinds; try again later`,
        {
          cause: error,
        },
      );
    } finally {
      limit.clear();
    }
  }

  #isAlive({ owner }: ExternalClaimRecord): boolean {
    return owner !== null && this.#context.view.cores.get(owner.core)?.createRevision === owner.epoch;
  }
}

function isOf(tenure: Tenure, owner: Owner | null): boolean {
  return owner !== null && owner.core === tenure.owner.core && owner.epoch === tenure.owner.epoch;
}
