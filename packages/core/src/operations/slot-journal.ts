import { assert, EruError } from '@eru/kit';

import type { Compare } from '@eru/store';

import { commitWithBookings, type Booking } from './booking.ts';
import type { OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { keys, nodeOfSlots } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import {
  encode,
  type CreateOperation,
  type Outcome,
  type RequestRecord,
  type Slot,
  type SlotsRecord,
  type Versioned,
} from '../state/records.ts';
import { requestEnd, shortened } from './requests.ts';

/** One step of one slot. */
export interface SlotChange {
  name: string;
  /** The slot afterwards; undefined deletes it. */
  slot: Slot | undefined;
  own?: readonly OwnWrite[];
  deletes?: readonly string[];
  booking?: Booking;
  /** What the client is told, when this ends the slot. */
  outcome?: Outcome;
}

/** Changes in one transaction: with a record, a claim and a booking each they stay under 128 operations. */
const changesPerCommit = 24;
/** The same where each may end a claim on external kinds, too. */
const externalChangesPerCommit = 20;

/**
 * The slots of one create operation, and the only writer of their keys. Changes are written one transaction at a time;
 * those that come meanwhile go together into the next, so that a thousand slots cost tens of writes. The deletion of the last
 * slot deletes the header.
 */
export class SlotJournal {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #operation: string;
  readonly #header: Versioned<CreateOperation>;
  /** Key -> slots by name, as they are in the store. */
  readonly #keys = new Map<string, { revision: number; slots: Map<string, Slot> }>();
  readonly #keyOf = new Map<string, string>();
  #pending: { change: SlotChange; resolve: (revision: number) => void; reject: (error: unknown) => void }[] = [];
  #writing = false;
  /** Of a keyed operation: its request, and what has become of its instances. */
  #request: Versioned<RequestRecord> | undefined;
  readonly #outcomes: Outcome[];

  constructor(
    context: Context,
    tenure: Tenure,
    header: Versioned<CreateOperation>,
    slots: Iterable<[string, Versioned<SlotsRecord>]>,
    keyed?: { request: Versioned<RequestRecord>; outcomes: readonly Outcome[] },
  ) {
    this.#context = context;
    this.#tenure = tenure;
    this.#operation = header.value.id;
    this.#header = header;
    this.#request = keyed?.request;
    this.#outcomes = [...(keyed?.outcomes ?? [])];
    for (const [key, { value, modRevision }] of slots) {
      this.#keys.set(key, { revision: modRevision, slots: new Map(value.slots.map((slot) => [slot.name, slot])) });
      for (const slot of value.slots) this.#keyOf.set(slot.name, key);
    }
  }

  /** All slots that are left, with their nodes. */
  slots(): { node: string; slot: Slot }[] {
    return [...this.#keys].flatMap(([key, { slots }]) =>
      [...slots.values()].map((slot) => ({ node: nodeOfSlots(key), slot })),
    );
  }

  /** Holds while this operation is still ours. */
  unchanged(): Compare {
    const { value, modRevision } = this.#header;
    return { key: keys.operation(value.id), target: 'mod', op: '=', value: modRevision };
  }

  /** Resolves with the revision of the transaction that holds the change. `fenced` when the operation is not ours any more. */
  change(change: SlotChange): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ change, resolve, reject });
      if (!this.#writing) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    // Let everything that is ready now come along.
    await Promise.resolve();
    while (this.#pending.length > 0) {
      const most = this.#context.external === undefined ? changesPerCommit : externalChangesPerCommit;
      const batch = this.#pending.splice(0, most);
      try {
        const revision = await this.#write(batch.map(({ change }) => change));
        for (const { resolve } of batch) resolve(revision);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#writing = false;
  }

  async #write(changes: readonly SlotChange[]): Promise<number> {
    const next = new Map<string, Map<string, Slot>>();
    for (const { name, slot } of changes) {
      const key = this.#keyOf.get(name);
      assert(key !== undefined, `slot ${name} belongs to operation ${this.#operation}`);
      const slots = next.get(key) ?? new Map(this.#keys.get(key)?.slots);
      if (slot === undefined) slots.delete(name);
      else slots.set(name, slot);
      next.set(key, slots);
    }
    const own = [...next].map(([key, slots]): OwnWrite => {
      const revision = this.#keys.get(key)?.revision ?? 0;
      return slots.size === 0
        ? { key, revision }
        : { key, revision, value: encode({ v: 1, slots: [...slots.values()] } satisfies SlotsRecord) };
    });
    const last = [...this.#keys].every(([key, { slots }]) => (next.get(key) ?? slots).size === 0);
    if (last) own.push({ key: keys.operation(this.#operation), revision: this.#header.modRevision });
    const outcomes = changes.flatMap((change) => change.outcome ?? []);
    const request = await this.#requestWrites(outcomes, last);
    const result = await commitWithBookings(
      this.#context,
      this.#tenure,
      {
        own: [...own, ...changes.flatMap((change) => change.own ?? []), ...request],
        deletes: changes.flatMap((change) => change.deletes ?? []),
      },
      changes.flatMap((change) => change.booking ?? []),
    );
    if (!result.committed) throw new EruError('fenced', `operation ${this.#operation} was changed by somebody else`);
    for (const [key, slots] of next) {
      if (slots.size === 0) this.#keys.delete(key);
      else this.#keys.set(key, { revision: result.revision, slots });
    }
    this.#outcomes.push(...outcomes);
    if (request.length > 0 && this.#request !== undefined)
      this.#request = { ...this.#request, modRevision: result.revision };
    return result.revision;
  }

  /**
   * What has become of a keyed operation's instances survives its core: those that exist are known by their records, those that
   * failed are noted with the request as they fail, and the last one ends the request.
   */
  async #requestWrites(outcomes: readonly Outcome[], last: boolean): Promise<OwnWrite[]> {
    const known = this.#request;
    if (known === undefined) return [];
    const { key } = this.#header.value;
    if (last) return [await requestEnd(this.#context, this.#tenure, key, known, [...this.#outcomes, ...outcomes])];
    const failures = outcomes.filter(({ error }) => error !== '').map(shortened);
    if (failures.length === 0) return [];
    const value: RequestRecord = { ...known.value, failures: [...known.value.failures, ...failures] };
    this.#request = { ...known, value };
    return [{ key: keys.request(key), revision: known.modRevision, value: encode(value) }];
  }
}
