import { assert, EruError, isEruError } from '@eru/kit';
import type { Engine } from '@eru/engines';
import type { Asked } from '@eru/scheduler';

import { bookingWrite, learn, type Booking } from './booking.ts';
import { claim, type Claimed } from './claim.ts';
import type { CommitResult, OwnWrite } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import type { External } from '../external/external.ts';
import { beginning, drive, isHook } from './drive.ts';
import { runHooks } from './hooks.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import {
  encode,
  type ClaimedOperation,
  type Outcome,
  type RequestRecord,
  type Slot,
  type Versioned,
  type WorkloadRecord,
} from '../state/records.ts';
import { requestEnd, requestOf, type RequestKey } from './requests.ts';
import { tableOf } from './tables-of.ts';
import { end, mark, type Table } from './transitions.ts';

/** What a transaction writes besides header and claim. It is made anew at each attempt, on the view as it is then. */
export interface Change<Op extends ClaimedOperation> {
  operation?: Partial<Op>;
  own?: OwnWrite[];
  deletes?: string[];
  /** On the workload's node; whatever else changed the node meanwhile, the transaction is tried again. */
  booking?: Omit<Booking, 'node'>;
  /** Called with the revision when it is written. */
  written?(revision: number): void;
}

/** What the names in the table of an operation on one claimed workload mean. */
export interface Machine<Op extends ClaimedOperation> {
  effects: Readonly<Record<string, (run: WorkloadRun<Op>) => Promise<void>>>;
  transactions: Readonly<Record<string, (run: WorkloadRun<Op>) => Change<Op>>>;
  /** Questions to external kinds ahead of a transaction that may be refused; nobody books on the node meanwhile. */
  ask?: Readonly<Record<string, (run: WorkloadRun<Op>, external: External) => Promise<void>>>;
  /** False when an effect has nothing to do. By default hooks without commands. */
  needed?(effect: string, operation: Op, record: WorkloadRecord): boolean;
}

/** The slot of an operation on one workload that makes a new one. */
export interface HeldSlot {
  key: string;
  revision: number;
  slot: Slot;
  /** Of the new workload; 0 = none yet. */
  claimRevision: number;
}

/** How a run is begun; the keys of the header that every operation has are filled in. */
export interface Begin<Op extends ClaimedOperation> {
  id: string;
  operation: Omit<Op, 'v' | 'id' | 'owner' | 'createdAtMs' | 'key' | 'workload' | 'name' | 'node' | 'step'>;
  machine: Machine<Op>;
  request?: RequestKey | undefined;
  /** Told when a refusal is decided, ahead of what is left to clean up. */
  refused?: (failure: EruError) => void;
}

/** Claims a workload and runs the operation to its end. Answers what was refused; throws what kept it from being begun or ended. */
export async function runOnWorkload<Op extends ClaimedOperation>(
  context: Context,
  tenure: Tenure,
  { id, operation, machine, request, refused }: Begin<Op>,
  signal: AbortSignal,
): Promise<{ run: WorkloadRun<Op>; failure: EruError | undefined }> {
  const operationId = context.random.letters(16);
  const begin = (record: WorkloadRecord): Op => {
    const header = {
      ...operation,
      v: 1 as const,
      id: operationId,
      owner: tenure.owner,
      createdAtMs: context.clock.now(),
      key: request?.key ?? '',
      workload: id,
      name: record.name,
      node: record.node,
      step: '',
    } as unknown as Op;
    const table = tableOf(header);
    return at(
      table,
      header,
      beginning(table, (effectName) => isNeeded(machine, effectName, header, record)),
    );
  };
  context.running.add(operationId);
  try {
    const claimed = await claim(context, tenure, id, begin, request, signal);
    const run = new WorkloadRun(context, tenure, machine, claimed);
    return { run, failure: await run.finish({ takenOver: false, refused }) };
  } finally {
    context.running.delete(operationId);
  }
}

/** The same for who only wants to know that it is done. @throws what was refused */
export async function finishOnWorkload<Op extends ClaimedOperation>(
  context: Context,
  tenure: Tenure,
  begin: Begin<Op>,
  signal: AbortSignal,
): Promise<WorkloadRun<Op>> {
  const { run, failure } = await runOnWorkload(context, tenure, begin, signal);
  if (failure !== undefined) throw failure;
  return run;
}

function refusalOf({ refusal }: ClaimedOperation): EruError | undefined {
  return refusal === undefined ? undefined : new EruError('failed', refusal);
}

/** What a table names. */
function named<T>(all: Readonly<Record<string, T>>, name: string): T {
  const found = all[name];
  assert(found !== undefined, `nothing is called ${name} in this machine`);
  return found;
}

/** The header at a step; hooks are noted with the transaction that comes before them. */
function at<Op extends ClaimedOperation>(table: Table, operation: Op, step: string): Op {
  const hooks = isHook(table, step) ? { hooks: [...(operation.hooks ?? []), step] } : {};
  return { ...operation, ...hooks, step };
}

function isNeeded<Op extends ClaimedOperation>(
  machine: Machine<Op>,
  name: string,
  operation: Op,
  record: WorkloadRecord,
): boolean {
  if (machine.needed !== undefined) return machine.needed(name, operation, record);
  if (name === 'stopHooks') return (record.hook?.beforeStop.length ?? 0) > 0;
  if (name === 'startHooks') return (record.hook?.afterStart.length ?? 0) > 0;
  return true;
}

/** One operation on one workload, from a step to its end. */
export class WorkloadRun<Op extends ClaimedOperation> {
  readonly context: Context;
  readonly tenure: Tenure;
  readonly #machine: Machine<Op>;
  #claimed: Claimed<Op>;
  /** What is made in its place, if anything. */
  slot: HeldSlot | undefined;
  /** What external kinds have answered to `ask`. */
  asked: Asked | undefined;
  readonly #output: { kind: 'stop' | 'start'; data: Uint8Array }[] = [];
  #request: Versioned<RequestRecord> | undefined;

  constructor(context: Context, tenure: Tenure, machine: Machine<Op>, claimed: Claimed<Op>, slot?: HeldSlot) {
    this.context = context;
    this.tenure = tenure;
    this.#machine = machine;
    this.#claimed = claimed;
    this.slot = slot;
  }

  get operation(): Op {
    return this.#claimed.operation;
  }

  get record(): Versioned<WorkloadRecord> {
    return this.#claimed.record;
  }

  /** What hooks have printed, all of them or those of one kind. */
  printed(kind?: 'stop' | 'start'): Uint8Array {
    return Buffer.concat(
      this.#output.filter((part) => kind === undefined || part.kind === kind).map(({ data }) => data),
    );
  }

  /** Answers what was refused, once the operation has ended; throws what made this core lose it. */
  async finish(options: {
    takenOver: boolean;
    refused?: ((failure: EruError) => void) | undefined;
  }): Promise<EruError | undefined> {
    const machine = this.#machine;
    this.#request = await requestOf(this.context, this.operation.key, this.tenure.signal);
    return drive(
      {
        table: tableOf(this.operation),
        step: this.operation.step,
        takenOver: options.takenOver,
        refusal: refusalOf(this.operation),
        effect: (name) => named(machine.effects, name)(this),
        needed: (name) => isNeeded(machine, name, this.operation, this.record.value),
        write: (transaction, next, refusal) => this.#write(transaction, next, refusal),
        ...(options.refused !== undefined && { refused: options.refused }),
      },
      () => this.tenure.signal.aborted,
    );
  }

  engine(): Engine {
    return this.context.engineOf(this.record.value.node);
  }

  /** A call of the engine that carries the right of this operation's last transaction. */
  call<T>(run: (engine: Engine, options: { revision: number; signal: AbortSignal }) => Promise<T>): Promise<T> {
    const options = { revision: this.#claimed.headerRevision, signal: this.tenure.signal };
    return effect(this.context, this.tenure, () => run(this.engine(), options));
  }

  /** Hooks inside a workload; with `mandatory` the first failure is thrown. What they print is kept either way. */
  async hooks(
    id: string,
    commands: readonly string[],
    { mandatory, record: { env, user }, as: kind }: { mandatory: boolean; record: HookUser; as: 'stop' | 'start' },
  ): Promise<void> {
    const { output, failure } = await this.call((engine, { signal }) =>
      runHooks(engine, id, commands, { mandatory, env, user, signal }),
    );
    this.#output.push({ kind, data: output });
    if (failure !== undefined) throw new EruError('failed', failure.message, { cause: failure });
  }

  async isRunning(id: string): Promise<boolean> {
    try {
      return (await this.call((engine, { signal }) => engine.inspect(id, { signal }))).state === 'running';
    } catch (error) {
      if (isEruError(error, 'not_found')) return false;
      throw error;
    }
  }

  async #write(transaction: string, next: string, failure: EruError | undefined): Promise<void> {
    const build = transaction === mark ? (): Change<Op> => ({}) : named(this.#machine.transactions, transaction);
    const request = next === end ? await this.#result(failure) : [];
    const { external, turns } = this.context;
    const { node } = this.record.value;
    const inTurn = (more: readonly OwnWrite[]): Promise<CommitResult> =>
      turns.hold([`node ${node}`], () => this.#attempt(build, next, failure, [...request, ...more]));
    const ask = external && this.#machine.ask?.[transaction];
    if (external === undefined || (ask === undefined && external.touched(this.#bookings(build)).length === 0)) {
      await (build(this).booking === undefined ? this.#attempt(build, next, failure, request) : inTurn([]));
      return;
    }
    await external.change(this.tenure, [node], {
      ask: ask && (() => ask(this, external)),
      bookings: () => this.#bookings(build),
      commit: inTurn,
    });
  }

  #bookings(build: (run: WorkloadRun<Op>) => Change<Op>): Booking[] {
    const { booking } = build(this);
    return booking === undefined ? [] : [{ node: this.record.value.node, ...booking }];
  }

  async #attempt(
    build: (run: WorkloadRun<Op>) => Change<Op>,
    next: string,
    failure: EruError | undefined,
    more: readonly OwnWrite[],
  ): Promise<CommitResult> {
    const { context, tenure } = this;
    const { operation, headerRevision, claimRevision } = this.#claimed;
    const header = keys.operation(operation.id);
    for (;;) {
      const change = build(this);
      const refusal = failure === undefined ? {} : { refusal: failure.message };
      const value = at(tableOf(operation), { ...operation, ...change.operation, ...refusal }, next);
      const own: OwnWrite[] =
        next === end
          ? [
              { key: header, revision: headerRevision },
              { key: keys.claim(operation.workload), revision: claimRevision },
            ]
          : [{ key: header, revision: headerRevision, value: encode(value) }];
      const shared =
        change.booking === undefined ? [] : bookingWrite(context, { node: this.record.value.node, ...change.booking });
      const result = await context.committer.commit(tenure, {
        own: [...own, ...(change.own ?? []), ...more],
        shared,
        deletes: change.deletes ?? [],
      });
      if (result.committed) {
        this.#claimed = { ...this.#claimed, operation: value, headerRevision: result.revision };
        change.written?.(result.revision);
        return result;
      }
      const moved = shared.filter(({ key, revision }) => (result.current.get(key)?.modRevision ?? 0) !== revision);
      if (moved.length === 0) throw new EruError('fenced', `operation ${operation.id} was taken over`);
      learn(
        context,
        result,
        moved.map(({ key }) => key),
      );
    }
  }

  /** The record as it was written by this operation. */
  rewritten(value: WorkloadRecord, modRevision: number): void {
    this.#claimed = { ...this.#claimed, record: { ...this.#claimed.record, value, modRevision } };
  }

  async #result(failure: EruError | undefined): Promise<OwnWrite[]> {
    if (this.#request === undefined) return [];
    const { id, name, node } = this.record.value;
    const outcome: Outcome = {
      id: failure === undefined ? (this.slot?.slot.id ?? id) : '',
      name: failure === undefined ? (this.slot?.slot.name ?? name) : name,
      node,
      error: failure?.message ?? '',
      hook: Buffer.from(this.printed()).toString(),
    };
    return [await requestEnd(this.context, this.tenure, this.operation.key, this.#request, [outcome])];
  }
}

type HookUser = Pick<WorkloadRecord, 'env' | 'user'>;
