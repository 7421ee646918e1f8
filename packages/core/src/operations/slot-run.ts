import { EruError, isEruError, retry, type Queue } from '@eru/kit';
import type { ExitState } from '@eru/engines';

import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import type { CreateEvent } from './create.ts';
import { drive } from './drive.ts';
import { runHooks } from './hooks.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, versioned, type Slot, type Versioned, type WorkloadRecord } from '../state/records.ts';
import { paramsOf } from './remap.ts';
import { removeUntilGone } from './removal.ts';
import type { SlotJournal } from './slot-journal.ts';
import { recordOf, specOf, type InstanceRequest } from './spec-of.ts';
import { putFiles } from './supply.ts';
import type { Table } from './transitions.ts';

/** What the instances of one operation have in common. */
export interface SlotsContext {
  context: Context;
  tenure: Tenure;
  journal: SlotJournal;
  table: Table;
  operation: string;
  /** Revision of the transaction that gave the right to effects on engines: the reservation or the takeover. */
  right: number;
  /** Absent in a takeover that can only undo, or wait. */
  request: InstanceRequest | undefined;
  /** Aborts when nobody wants the instances any more: what has not ended is undone. */
  canceled: AbortSignal;
  /** Once for each node, before its first instance. */
  prepare(node: string, tell: (progress: string) => void): Promise<void>;
  events: Queue<CreateEvent> | undefined;
  /** Lambda: what to do with a running instance until it has exited. */
  follow?(id: string, node: string, exited: Promise<ExitState>): Promise<void>;
}

/** The steps of one new instance, from a slot to its end. */
export class SlotRun {
  readonly #of: SlotsContext;
  readonly #node: string;
  #slot: Slot;
  #record: WorkloadRecord | undefined;
  #claimRevision: number;
  #hook: Uint8Array = new Uint8Array();
  #told = false;
  #unprepared = false;
  #failure: string | undefined;
  #waited = false;
  #exit: ExitState | undefined;
  /** A lambda's workload was removed, replaced or released by somebody: nothing is left to do. */
  #gone = false;

  /** `claimRevision` is 0 when there is no claim yet. */
  constructor(of: SlotsContext, node: string, slot: Slot, claimRevision: number) {
    this.#of = of;
    this.#node = node;
    this.#slot = slot;
    this.#claimRevision = claimRevision;
  }

  async run(takenOver: boolean): Promise<void> {
    const { tenure } = this.#of;
    try {
      const failure = await drive(
        {
          table: this.#of.table,
          step: this.#slot.step,
          takenOver,
          effect: (name) => this.#effect(name),
          needed: (name) => name !== 'hooks' || this.#commands().length > 0,
          write: (transaction, next) => this.#write(transaction, next as Slot['step']),
          refused: (error) => this.#fail(error),
        },
        () => tenure.signal.aborted,
      );
      if (this.#waited) this.#of.events?.push({ type: 'exited', id: this.#slot.id, exit: this.#exit, error: failure });
    } catch (error) {
      const lost = new EruError(
        'fenced',
        'this core lost its lease during the operation; another core goes on with what was not finished',
        { cause: error },
      );
      this.#fail(lost);
      if (this.#waited) this.#of.events?.push({ type: 'exited', id: this.#slot.id, exit: undefined, error: lost });
      if (!tenure.signal.aborted && !isEruError(error, 'fenced')) throw error;
    }
  }

  async #effect(name: string): Promise<void> {
    switch (name) {
      case 'create':
        return this.#create();
      case 'start':
        return this.#start();
      case 'hooks':
        return this.#hooks();
      case 'wait':
        return this.#wait();
      default:
        return this.#remove();
    }
  }

  async #create(): Promise<void> {
    const { context, tenure, operation, right, canceled } = this.#of;
    canceled.throwIfAborted();
    const request = this.#request();
    if (this.#slot.external !== undefined)
      throw new EruError('failed', 'external resource kinds have not booked this instance');
    await this.#of
      .prepare(this.#node, (progress) => this.#step(progress))
      .catch((error: unknown) => {
        this.#unprepared = true;
        throw error;
      });
    const spec = specOf(request, this.#slot, this.#node, operation, context.view);
    const engineParams = paramsOf(context, this.#node, { ...this.#slot, id: this.#slot.name });
    const state = await effect(context, tenure, () =>
      context.engineOf(this.#node).create({ ...spec, engineParams }, { revision: right, signal: this.#signal() }),
    );
    // From here on its id says what to undo.
    this.#slot = { ...this.#slot, id: state.id };
    this.#record = recordOf(request, this.#slot, state, this.#node, operation, context);
    this.#step('created');
  }

  async #start(): Promise<void> {
    const { context, tenure, right } = this.#of;
    const { id } = this.#slot;
    const { files } = this.#request();
    const engine = context.engineOf(this.#node);
    const signal = this.#signal();
    await effect(context, tenure, () => putFiles(engine, id, files, signal));
    await effect(context, tenure, () => engine.start(id, { revision: right, signal }));
    this.#step('started');
  }

  async #hooks(): Promise<void> {
    const { context, tenure } = this.#of;
    const request = this.#request();
    const { output, failure } = await effect(context, tenure, () =>
      runHooks(context.engineOf(this.#node), this.#slot.id, this.#commands(), {
        mandatory: request.hook?.force === true && !request.ignoreHook,
        env: request.env,
        user: request.template.user,
        signal: this.#signal(),
      }),
    );
    this.#hook = output;
    if (failure !== undefined) throw failure;
  }

  /** Over restarts of the node's daemon, until it has ended, is gone, or nobody wants it any more. */
  async #wait(): Promise<void> {
    const { context } = this.#of;
    const { id } = this.#slot;
    const signal = this.#signal();
    this.#waited = true;
    const exited = retry(() => context.engineOf(this.#node).wait(id, { signal }), {
      signal,
      clock: context.clock,
      random: context.random,
      maxMs: 15_000,
      retryable: (error) => isEruError(error, 'unavailable') || isEruError(error, 'timeout'),
    });
    const followed = this.#of.follow?.(id, this.#node, exited);
    this.#exit = await exited;
    await followed;
  }

  async #remove(): Promise<void> {
    if (this.#gone) return;
    const { context, operation, tenure } = this.#of;
    const { name, id } = this.#slot;
    await removeUntilGone(
      context,
      () => context.engineOf(this.#node),
      { name, operation, id },
      tenure.signal,
      (error) =>
        context.logger.warn({ err: error, operation, name, node: this.#node }, 'cannot remove an instance yet'),
    );
  }

  async #write(transaction: string, step: Slot['step']): Promise<void> {
    const { journal } = this.#of;
    const { name, id } = this.#slot;
    const claim = (): { key: string; revision: number }[] =>
      this.#claimRevision === 0 ? [] : [{ key: keys.claim(id), revision: this.#claimRevision }];
    switch (transaction) {
      case 'record': {
        const record = this.#record;
        if (record === undefined) throw new EruError('internal', `${name} has no record to write`);
        const slot: Slot = { ...this.#slot, step, recorded: true };
        this.#claimRevision = await journal.change({
          name,
          slot,
          own: [
            { key: keys.workload(id), revision: 0, value: encode(record) },
            { key: keys.claim(id), revision: 0, value: encode({ v: 1, operation: record.operation }) },
          ],
        });
        this.#slot = slot;
        return this.#step('recorded');
      }
      case 'finish':
        await journal.change({ name, slot: undefined, own: claim(), outcome: this.#outcome('') });
        return this.#done();
      case 'unclaim':
        this.#slot = { ...this.#slot, step };
        await journal.change({ name, slot: this.#slot, own: claim() });
        this.#claimRevision = 0;
        return this.#done();
      case 'claim':
        return this.#reclaim(step);
      case 'forget':
        await journal.change({
          name,
          slot: undefined,
          own: claim(),
          deletes: this.#slot.recorded && !this.#gone ? [keys.workload(id), keys.workloadStatus(id)] : [],
          ...(!this.#gone && { booking: { node: this.#node, add: [], subtract: [this.#slot.resources] } }),
          outcome: this.#outcome(this.#failure ?? 'it was undone; the core that knew why has died'),
        });
        return this.#step('undone');
      default:
        this.#slot = { ...this.#slot, step };
        await journal.change({ name, slot: this.#slot });
        if (step === 'undoing') this.#step('undoing');
    }
  }

  /**
   * A lambda that has ended is taken back from whoever changed it meanwhile: its claim first, with what it holds by now,
   * then the slot. A claim of ours that stands already was put by a core that died between the two.
   */
  async #reclaim(step: Slot['step']): Promise<void> {
    const { context, tenure, journal, operation } = this.#of;
    const { id, name } = this.#slot;
    for (;;) {
      const record = await this.#recorded();
      if (record === undefined) {
        this.#gone = true;
        break;
      }
      this.#slot = { ...this.#slot, resources: record.value.resources };
      if (this.#claimRevision > 0) break;
      const result = await context.committer.commit(tenure, {
        own: [{ key: keys.claim(id), revision: 0, value: encode({ v: 1, operation }) }],
        shared: [{ key: keys.workload(id), revision: record.modRevision }],
        compare: [journal.unchanged()],
      });
      if (result.committed) {
        this.#claimRevision = result.revision;
        break;
      }
      const claim = result.current.get(keys.claim(id));
      if (claim !== undefined) context.view.applyWrites([claim], [], 0);
      await context.view.until(() => (context.view.claims.get(id) === undefined ? true : undefined), tenure.signal);
    }
    this.#slot = { ...this.#slot, step };
    await journal.change({ name, slot: this.#slot });
  }

  /** The record as the store has it. */
  async #recorded(): Promise<Versioned<WorkloadRecord> | undefined> {
    const { context, tenure } = this.#of;
    const { signal } = tenure;
    const { clock, random, store } = context;
    const kv = await retry(() => store.get(keys.workload(this.#slot.id), { signal }), { signal, clock, random });
    return kv === undefined ? undefined : versioned<WorkloadRecord>(kv);
  }

  #fail(error: EruError): void {
    this.#failure ??= error.message;
    if (this.#told) return;
    this.#told = true;
    this.#of.events?.push({
      type: 'done',
      node: this.#node,
      name: this.#slot.name,
      resources: this.#slot.resources,
      id: '',
      record: undefined,
      error,
      hook: this.#hook,
      unprepared: this.#unprepared,
    });
  }

  #done(): void {
    const { context, events } = this.#of;
    this.#step('done');
    this.#told = true;
    this.#record ??= context.view.workloads.get(this.#slot.id)?.value;
    events?.push({
      type: 'done',
      node: this.#node,
      name: this.#slot.name,
      resources: this.#slot.resources,
      id: this.#slot.id,
      record: this.#record,
      error: undefined,
      hook: this.#hook,
      unprepared: false,
    });
  }

  #outcome(error: string): { name: string; node: string; id: string; error: string; hook: string } {
    const { name, id } = this.#slot;
    return { name, node: this.#node, id: error === '' ? id : '', error, hook: Buffer.from(this.#hook).toString() };
  }

  #step(step: string): void {
    this.#of.events?.push({ type: 'step', name: this.#slot.name, node: this.#node, step });
  }

  #commands(): string[] {
    const { request } = this.#of;
    return [...(request?.afterCreate ?? []), ...(request?.hook?.afterStart ?? [])];
  }

  #request(): InstanceRequest {
    const { request } = this.#of;
    if (request === undefined) throw new EruError('internal', 'the request of this operation is not known any more');
    return request;
  }

  #signal(): AbortSignal {
    return AbortSignal.any([this.#of.canceled, this.#of.tenure.signal]);
  }
}
