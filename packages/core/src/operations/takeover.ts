import { backoff } from '@eru/kit';

import type { Claimed } from './claim.ts';
import type { Context } from '../context.ts';
import { controlMachine } from './control.ts';
import { finishCreate } from './create.ts';
import { dissociateMachine } from './dissociate.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { reallocMachine } from './realloc.ts';
import {
  encode,
  versioned,
  type ClaimedOperation,
  type ClaimRecord,
  type CreateOperation,
  type OperationRecord,
  type SlotsRecord,
  type TakeoverNote,
  type Versioned,
  type WorkloadRecord,
} from '../state/records.ts';
import { removeMachine } from './remove.ts';
import { replaceMachine } from './replace.ts';
import { requestEnd, requestOf } from './requests.ts';
import { finishRoll } from './roll.ts';
import { takeoverText } from './tables-of.ts';
import { workMachine } from './work.ts';
import { WorkloadRun, type HeldSlot, type Machine } from './workload-run.ts';

/** Pause between two looks at operations whose owner may be dead; changes of the membership are looked at at once. */
const scanMs = 5_000;

/** Notes that a header keeps. */
const notesKept = 8;

/**
 * Finishes what dead cores have left (docs/protocol.md, "Takeover"). The view only suggests; the transaction decides: fence,
 * header unchanged, and the owner's key absent or of another epoch. What is done with each step is in its table.
 */
export class Takeovers {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #attempts = new Map<string, number>();

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
    const { running, clock, random, logger, measures } = this.#context;
    running.add(id);
    try {
      const attempt = (this.#attempts.get(id) ?? 0) + 1;
      this.#attempts.set(id, attempt);
      if (attempt > 1) await clock.sleep(backoff(attempt - 1, { random }), this.#tenure.signal);
      const header = await this.#own(id);
      if (header === undefined) return;
      const { kind, takeovers } = header.value;
      measures.takeovers.inc({ kind });
      logger.info({ operation: id, kind, did: takeovers?.at(-1)?.did }, 'took over an operation');
      await this.#finish(header);
      this.#attempts.delete(id);
    } finally {
      running.delete(id);
    }
  }

  /** Writes this core into the header, and what it is going to do; undefined when it is not to be had. */
  async #own(id: string): Promise<Versioned<OperationRecord> | undefined> {
    const { store, committer, clock, view } = this.#context;
    const kv = await store.get(keys.operation(id), { signal: this.#tenure.signal });
    if (kv === undefined) return undefined;
    const { value } = versioned<OperationRecord>(kv);
    const { owner } = value;
    const mine = owner.core === this.#tenure.owner.core && owner.epoch === this.#tenure.owner.epoch;
    const note: TakeoverNote = {
      from: owner.core,
      by: this.#tenure.owner.core,
      atMs: clock.now(),
      did: takeoverText(
        value,
        view.slotsOf(id).flatMap(
          ([
            ,
            {
              value: { slots },
            },
          ]) => slots,
        ),
      ),
    };
    const next: OperationRecord = {
      ...value,
      owner: this.#tenure.owner,
      takeovers: [...(value.takeovers ?? []), note].slice(-notesKept),
    };
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
    switch (value.kind) {
      case 'create':
      case 'lambda':
        return this.#finishCreate({ ...header, value });
      case 'roll':
        return finishRoll(this.#context, this.#tenure, { ...header, value });
      case 'remove':
        return this.#finishClaimed(header.modRevision, value, removeMachine);
      case 'control':
        return this.#finishClaimed(header.modRevision, value, controlMachine);
      case 'dissociate':
        return this.#finishClaimed(header.modRevision, value, dissociateMachine);
      case 'realloc':
        return this.#finishClaimed(header.modRevision, value, reallocMachine);
      case 'replace':
        return this.#finishClaimed(header.modRevision, value, replaceMachine(undefined));
      case 'send':
      case 'raw':
      case 'network':
        return this.#finishClaimed(header.modRevision, value, workMachine(undefined));
    }
  }

  async #finishCreate(header: Versioned<CreateOperation>): Promise<void> {
    const slots = await this.#slots(header.value.id);
    if (slots.length === 0) return this.#end(header);
    const claims = new Map<string, number>();
    for (const slot of slots.flatMap(([, { value }]) => value.slots)) {
      const claim = slot.recorded ? await this.#claimOf(slot.id, header.value.id) : 0;
      if (claim > 0) claims.set(slot.id, claim);
    }
    await finishCreate(this.#context, this.#tenure, header, slots, claims);
  }

  /** Read after the header is ours: nobody else writes them now. */
  async #slots(id: string): Promise<[string, Versioned<SlotsRecord>][]> {
    const { kvs } = await this.#context.store.range({ prefix: keys.slotsOf(id), signal: this.#tenure.signal });
    return kvs.map((kv) => [kv.key, versioned<SlotsRecord>(kv)]);
  }

  /** Revision of the operation's claim on a workload; 0 without one. Also into the view. */
  async #claimOf(workload: string, operation: string): Promise<number> {
    const { store, view } = this.#context;
    const claim = await store.get(keys.claim(workload), { signal: this.#tenure.signal });
    if (claim === undefined || versioned<ClaimRecord>(claim).value.operation !== operation) return 0;
    view.applyWrites([claim], [], claim.modRevision);
    return claim.modRevision;
  }

  async #finishClaimed<Op extends ClaimedOperation>(
    headerRevision: number,
    operation: Op,
    machine: Machine<Op>,
  ): Promise<void> {
    const { store, logger } = this.#context;
    const { signal } = this.#tenure;
    const claimRevision = await this.#claimOf(operation.workload, operation.id);
    const record = await store.get(keys.workload(operation.workload), { signal });
    if (claimRevision === 0 || record === undefined)
      return this.#end({ value: operation, modRevision: headerRevision, createRevision: 0, lease: undefined });
    const claimed: Claimed<Op> = {
      operation,
      headerRevision,
      claimRevision,
      record: versioned<WorkloadRecord>(record),
    };
    const run = new WorkloadRun(this.#context, this.#tenure, machine, claimed, await this.#heldSlot(operation.id));
    const failure = await run.finish({ takenOver: true });
    if (failure !== undefined)
      logger.warn(
        { err: failure, operation: operation.id },
        'an operation that was taken over has ended with a refusal',
      );
  }

  async #heldSlot(operation: string): Promise<HeldSlot | undefined> {
    const [first] = await this.#slots(operation);
    const slot = first?.[1].value.slots[0];
    if (first === undefined || slot === undefined) return undefined;
    const claimRevision = slot.recorded ? await this.#claimOf(slot.id, operation) : 0;
    return { key: first[0], revision: first[1].modRevision, slot, claimRevision };
  }

  /** A header without slots or claim has nothing left to do. */
  async #end(header: Versioned<OperationRecord>): Promise<void> {
    const { id, key } = header.value;
    const request = await requestOf(this.#context, key, this.#tenure.signal);
    const kept =
      request === undefined || request.value.operation !== id || request.value.result !== null
        ? []
        : [await requestEnd(this.#context, this.#tenure, key, request, request.value.failures)];
    await this.#context.committer.commit(this.#tenure, {
      own: [{ key: keys.operation(id), revision: header.modRevision }, ...kept],
    });
  }
}
