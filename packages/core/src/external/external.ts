import { deadline, EruError, limitConcurrency, stableStringify } from '@eru/kit';
import type { Asked, PlannedInstance, Resources } from '@eru/scheduler';

import type { Booking } from '../operations/booking.ts';
import type { CommitResult, OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import { ExternalClaims, type ExternalHold } from './claims.ts';
import { partOf, partsOf, type ExternalKinds } from './kinds.ts';
import { nodeOfSlots } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type Slot, type SlotsRecord, type Versioned } from '../state/records.ts';

/** Slot keys that one transaction rewrites. */
const keysPerCommit = 32;

/** Nodes that are booked at the same time. */
const concurrentNodes = 16;

/** A transaction that changes what workloads of a node hold of external kinds. */
export interface ExternalChange {
  /** Questions to the kinds before the change, asked while nobody else can book. May refuse. */
  ask?: (() => Promise<void>) | undefined;
  /** What the transaction changes, once everything is asked. */
  bookings(): readonly Booking[];
  /** The transaction, with the ends of the claims. */
  commit(ends: readonly OwnWrite[]): Promise<CommitResult>;
}

/** Slots as they stand in the store, by key. */
export type StoredSlots = [string, Versioned<SlotsRecord>][];

/**
 * What core does with external kinds. Their bookings follow the store's: in every transaction that changes what the
 * workloads of a node hold of them, under the node's claim (`ExternalClaims`), and derived from the very bookings of that
 * transaction, so that there is no second account that could tell something else.
 */
export class External {
  readonly kinds: ExternalKinds;
  readonly claims: ExternalClaims;
  readonly #context: Context;
  /** What each node's kinds wanted engines to be told, workload id -> kind -> parameters, when last asked. */
  readonly #shares = new Map<string, ReadonlyMap<string, Resources>>();
  /** Resolves when every node of the cluster is known to the kinds. */
  adopted: Promise<void> = Promise.resolve();

  constructor(context: Context, kinds: ExternalKinds) {
    this.#context = context;
    this.kinds = kinds;
    this.claims = new ExternalClaims(context, kinds);
  }

  /** How many more fit, for `asked` of a plan. @throws EruError that names the kind, `timeout` when they take too long together */
  async ask(candidates: readonly string[], resources: Resources, signal: AbortSignal): Promise<Asked> {
    return this.#inTime(signal, async (limit) => {
      await this.adopted;
      return this.kinds.ask(candidates, resources, limit);
    });
  }

  /** Runs a transaction so that the kinds book what it changes. Without `ask` it must happen: a kind that fails is settled later. */
  async change(tenure: Tenure, nodes: Iterable<string>, change: ExternalChange): Promise<CommitResult> {
    const refusable = change.ask !== undefined;
    return this.claims.hold(
      tenure,
      nodes,
      async (holds) => {
        if (change.ask !== undefined) await effect(this.#context, tenure, change.ask);
        for (const booking of change.bookings()) {
          const hold = holds.get(booking.node);
          if (hold !== undefined && !hold.failed) await this.#book(tenure, hold, booking, refusable);
        }
        const result = await change.commit([...holds.values()].map((hold) => hold.end()));
        if (result.committed) for (const hold of holds.values()) hold.ended = true;
        return result;
      },
      { unsettled: !refusable },
    );
  }

  /** The nodes on which bookings change what is held of external kinds. */
  touched(bookings: readonly Booking[]): string[] {
    return bookings.filter((booking) => this.#parts(booking) !== undefined).map(({ node }) => node);
  }

  /**
   * Books slots that wait for it, all nodes at the same time. Answers the slots as they are then, and the first failure:
   * slots of a node where it failed still wait.
   */
  async bookSlots(
    tenure: Tenure,
    header: Versioned<unknown> & { key: string },
    slots: StoredSlots,
  ): Promise<{ slots: StoredSlots; failure: EruError | undefined }> {
    const byNode = new Map<string, StoredSlots>();
    for (const stored of slots)
      byNode.set(nodeOfSlots(stored[0]), [...(byNode.get(nodeOfSlots(stored[0])) ?? []), stored]);
    const limit = limitConcurrency(concurrentNodes);
    let failure: EruError | undefined;
    const booked = await Promise.all(
      [...byNode].map(([node, stored]) =>
        limit(async () => {
          if (failure !== undefined || !stored.some(([, { value }]) => value.slots.some(isWaiting))) return stored;
          const now = [...stored];
          try {
            await this.#bookNode(tenure, header, node, now);
          } catch (error) {
            if (tenure.signal.aborted) throw error;
            failure ??= EruError.from(error);
          }
          return now;
        }),
      ),
    );
    return { slots: booked.flat(), failure };
  }

  /** What the kinds want engines to be told of workloads that share something on a node, as far as they were asked. */
  shares(node: string): ReadonlyMap<string, Resources> {
    return this.#shares.get(node) ?? new Map();
  }

  /** Asks what `shares` answers from then on. */
  async askShares(node: string, signal: AbortSignal): Promise<void> {
    const { scheduler, view } = this.#context;
    const resources = view.nodeResources.get(node)?.value;
    const workloads = new Map(view.workloadsOn(node).map((record) => [record.id, record.resources] as const));
    if (resources === undefined || workloads.size === 0) return void this.#shares.delete(node);
    const asked = await this.#inTime(signal, (limit) => this.kinds.remap(node, workloads, limit));
    const all = scheduler.remap(resources, workloads, asked);
    const shares = [...all].map(([id, params]) => [id, partOf(params, this.kinds.names)] as const);
    this.#shares.set(node, new Map(shares.filter(([, params]) => Object.keys(params).length > 0)));
  }

  /** `stored` is brought up to what is in the store, also when it fails. */
  async #bookNode(
    tenure: Tenure,
    header: Versioned<unknown> & { key: string },
    node: string,
    stored: StoredSlots,
  ): Promise<void> {
    await this.claims.hold(tenure, [node], async (holds) => {
      const hold = holds.get(node) as ExternalHold;
      const given = await this.#allot(tenure, node, stored);
      const add = [...given.values()].map(({ resources }) => resources);
      await this.#book(tenure, hold, { node, add, subtract: [] }, true);
      for (let at = 0; at < stored.length; at += keysPerCommit) {
        const part = stored.slice(at, at + keysPerCommit).map(([key, known]) => {
          const slots = known.value.slots.map((slot) => given.get(slot.name) ?? slot);
          return { key, known, value: { ...known.value, slots } };
        });
        const last = at + keysPerCommit >= stored.length;
        const result = await this.#context.committer.commit(tenure, {
          own: [
            ...part.map(({ key, known, value }) => ({ key, revision: known.modRevision, value: encode(value) })),
            ...(last ? [hold.end()] : []),
          ],
          compare: [{ key: header.key, target: 'mod', op: '=', value: header.modRevision }],
        });
        if (!result.committed) throw new EruError('fenced', `the slots on node ${node} were changed by somebody else`);
        for (const [index, { key, known, value }] of part.entries())
          stored[at + index] = [key, { ...known, value, modRevision: result.revision }];
        hold.ended = last;
      }
    });
  }

  /** The waiting slots of a node with what the kinds give them, by name. */
  async #allot(tenure: Tenure, node: string, stored: StoredSlots): Promise<Map<string, Slot>> {
    const waiting = stored.flatMap(([, { value }]) => value.slots.filter(isWaiting));
    const [first] = waiting;
    if (first === undefined) return new Map();
    const instances = waiting.map(({ resources, engineParams }): PlannedInstance => ({
      node,
      resources,
      engineParams,
    }));
    const allotted = await effect(this.#context, tenure, () =>
      this.#inTime(tenure.signal, (limit) => this.kinds.allot(instances, first.external, limit)),
    );
    return new Map(
      waiting.map(({ external: _booked, ...slot }, index) => {
        const { resources, engineParams } = allotted[index] ?? slot;
        return [slot.name, { ...slot, resources, engineParams }] as const;
      }),
    );
  }

  async #book(tenure: Tenure, hold: ExternalHold, booking: Booking, refusable: boolean): Promise<void> {
    const parts = this.#parts(booking);
    if (parts === undefined) return;
    hold.open = true;
    try {
      await effect(this.#context, tenure, async () => {
        if (parts.subtract.length > 0) await this.kinds.book(hold.node, parts.subtract, 'subtract');
        if (parts.add.length > 0) await this.kinds.book(hold.node, parts.add, 'add');
      });
    } catch (error) {
      if (tenure.signal.aborted) throw error;
      if (!refusable) {
        this.#context.logger.warn(
          { err: error, node: hold.node },
          'an external resource kind fails; it is settled later',
        );
        hold.failed = true;
        return;
      }
      // Nothing of this change is in the store yet: the sum there is what it was before.
      await this.claims.settle(tenure, hold).catch((err: unknown) => {
        this.#context.logger.warn({ err, node: hold.node }, 'external resource kinds cannot be settled yet');
      });
      throw error;
    }
  }

  /** Undefined when nothing changes. */
  #parts({ add, subtract }: Booking): { add: Resources[]; subtract: Resources[] } | undefined {
    const parts = { add: partsOf(add, this.kinds.names), subtract: partsOf(subtract, this.kinds.names) };
    if (parts.add.length === 0 && parts.subtract.length === 0) return undefined;
    return stableStringify(parts.add) === stableStringify(parts.subtract) ? undefined : parts;
  }

  async #inTime<T>(signal: AbortSignal, question: (limit: AbortSignal) => Promise<T>): Promise<T> {
    const { clock, limits } = this.#context;
    const limit = deadline(clock, limits.externalMs, signal);
    try {
      return await Promise.race([question(limit.signal), aborted(limit.signal)]);
    } catch (error) {
      const told = EruError.from(error).details['plugin'] !== undefined;
      if (!limit.signal.aborted || signal.aborted || told) throw error;
      const names = this.kinds.names.join(', ');
      throw new EruError('timeout', `resource plugins (${names}) did not answer within ${limits.externalMs / 1000} s`, {
        cause: error,
      });
    } finally {
      limit.clear();
    }
  }
}

/** The part of a plan's request that external kinds answer; nothing without any. */
export async function askExternal(
  { external }: Context,
  candidates: readonly string[],
  resources: Resources,
  signal: AbortSignal,
): Promise<{ asked?: Asked }> {
  return external === undefined ? {} : { asked: await external.ask(candidates, resources, signal) };
}

function isWaiting(slot: Slot): slot is Slot & { external: Resources } {
  return slot.external !== undefined;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const refuse = (): void => reject(EruError.from(signal.reason));
    if (signal.aborted) refuse();
    else signal.addEventListener('abort', refuse, { once: true });
  });
}
