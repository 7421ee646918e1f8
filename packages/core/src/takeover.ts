import { backoff, isEruError } from '@eru/kit';

import type { Claimed } from './claim.ts';
import type { Context } from './context.ts';
import { finishControl } from './control.ts';
import { undoAll } from './create.ts';
import { keys } from './keys.ts';
import type { Tenure } from './membership.ts';
import {
  encode,
  versioned,
  type ClaimRecord,
  type ControlOperation,
  type OperationRecord,
  type RemoveOperation,
  type SlotsRecord,
  type Versioned,
  type WorkloadRecord,
} from './records.ts';
import { finishRemove } from './remove.ts';

/** Pause between two looks at operations whose owner may be dead; changes of the membership are looked at at once. */
const scanMs = 5_000;

/**
 * Finishes what dead cores have left (operations.md, "Takeover"). The view only suggests; the transaction decides: fence,
 * header unchanged, and the owner's key absent or of another epoch.
 */
export class Takeovers {
  readonly #context: Context;
  readonly #tenure: Tenure;
  #attempts = new Map<string, number>();

  constructor(context: Context, tenure: Tenure) {
    this.#context = context;
    this.#tenure = tenure;
  }

  /** Until the tenure ends or `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { view, clock, logger } = this.#context;
    const over = AbortSignal.any([signal, this.#tenure.signal]);
    while (!over.aborted) {
      let wake = (): void => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const stop = view.subscribe(({ table, after }) => {
        if (table === 'cores' && after === undefined) wake();
      });
      for (const [, { value }] of view.operations) {
        if (over.aborted || this.#context.running.has(value.id) || this.#isAlive(value)) continue;
        void this.#take(value.id).catch((error: unknown) => {
          if (!over.aborted) logger.warn({ err: error, operation: value.id }, 'taking over failed; trying again');
        });
      }
      const timer = clock.timer(scanMs, wake);
      over.addEventListener('abort', wake, { once: true });
      await woken;
      over.removeEventListener('abort', wake);
      timer.cancel();
      stop();
    }
  }

  /** An operation of this very tenure that nobody runs has lost its runner to an error: it is taken like a dead one's. */
  #isAlive({ owner }: OperationRecord): boolean {
    const { core, epoch } = this.#tenure.owner;
    if (owner.core === core && owner.epoch === epoch) return false;
    return this.#context.view.cores.get(owner.core)?.createRevision === owner.epoch;
  }

  async #take(id: string): Promise<void> {
    const { running, clock, random, logger } = this.#context;
    running.add(id);
    try {
      const attempt = (this.#attempts.get(id) ?? 0) + 1;
      this.#attempts.set(id, attempt);
      if (attempt > 1) await clock.sleep(backoff(attempt - 1, { random }), this.#tenure.signal);
      const header = await this.#own(id);
      if (header === undefined) return;
      logger.info({ operation: id, kind: header.value.kind }, 'took over an operation');
      await this.#finish(header);
      this.#attempts.delete(id);
    } finally {
      running.delete(id);
    }
  }

  /** Writes this core into the header; undefined when it is not to be had. */
  async #own(id: string): Promise<Versioned<OperationRecord> | undefined> {
    const { store, committer } = this.#context;
    const kv = await store.get(keys.operation(id), { signal: this.#tenure.signal });
    if (kv === undefined) return undefined;
    const { value } = versioned<OperationRecord>(kv);
    const { owner } = value;
    const mine = owner.core === this.#tenure.owner.core && owner.epoch === this.#tenure.owner.epoch;
    const next: OperationRecord = { ...value, owner: this.#tenure.owner };
    const result = await committer.commit(this.#tenure, {
      own: [{ key: kv.key, revision: kv.modRevision, value: encode(next) }],
      compare: mine ? [] : [{ key: keys.core(owner.core), target: 'create', op: '!=', value: owner.epoch }],
    });
    return result.committed
      ? { value: next, createRevision: kv.createRevision, modRevision: result.revision, lease: undefined }
      : undefined;
  }

  async #finish(header: Versioned<OperationRecord>): Promise<void> {
    const { value } = header;
    if (value.kind === 'create') {
      const slots = await this.#slots(value.id);
      if (slots.length === 0) await this.#end(header);
      else await undoAll(this.#context, this.#tenure, { ...header, value }, slots);
      return;
    }
    const claimed = await this.#claimed(header, value);
    if (claimed === undefined) await this.#end(header);
    else if (claimed.operation.kind === 'remove')
      await finishRemove(this.#context, this.#tenure, { ...claimed, operation: claimed.operation });
    else
      await finishControl(this.#context, this.#tenure, { ...claimed, operation: claimed.operation }).catch(
        (error: unknown) => this.#unlessOver(error),
      );
  }

  /** The slots, and into the view the claims that go with them. Read after the header is ours: nobody else writes them now. */
  async #slots(id: string): Promise<[string, Versioned<SlotsRecord>][]> {
    const { store, view } = this.#context;
    const slots: [string, Versioned<SlotsRecord>][] = [];
    const { kvs } = await store.range({ prefix: keys.slotsOf(id), signal: this.#tenure.signal });
    for (const kv of kvs) {
      const record = versioned<SlotsRecord>(kv);
      slots.push([kv.key, record]);
      for (const slot of record.value.slots.filter(({ recorded }) => recorded)) {
        const claim = await store.get(keys.claim(slot.id), { signal: this.#tenure.signal });
        if (claim !== undefined) view.applyWrites([claim], [], claim.modRevision);
      }
    }
    return slots;
  }

  async #claimed(
    header: Versioned<OperationRecord>,
    operation: RemoveOperation | ControlOperation,
  ): Promise<Claimed<RemoveOperation | ControlOperation> | undefined> {
    const { store } = this.#context;
    const { signal } = this.#tenure;
    const [claim, record] = await Promise.all([
      store.get(keys.claim(operation.workload), { signal }),
      store.get(keys.workload(operation.workload), { signal }),
    ]);
    if (claim === undefined || record === undefined || versioned<ClaimRecord>(claim).value.operation !== operation.id)
      return undefined;
    return {
      operation,
      headerRevision: header.modRevision,
      claimRevision: claim.modRevision,
      right: header.modRevision,
      record: versioned<WorkloadRecord>(record),
    };
  }

  /** A header without slots or claim has nothing left to do. */
  async #end(header: Versioned<OperationRecord>): Promise<void> {
    await this.#context.committer.commit(this.#tenure, {
      own: [{ key: keys.operation(header.value.id), revision: header.modRevision }],
    });
  }

  /** A control that fails has still ended; only a lost right is for somebody else. */
  #unlessOver(error: unknown): void {
    if (isEruError(error, 'fenced') || this.#tenure.signal.aborted) throw error;
    this.#context.logger.warn({ err: error }, 'a control operation that was taken over failed');
  }
}
