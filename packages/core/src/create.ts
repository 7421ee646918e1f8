import { EruError, isEruError, limitConcurrency, Queue } from '@eru/kit';
import { labelNames, type WorkloadSpec, type WorkloadState } from '@eru/engines';
import type { PlanRequest, PlanResult, Resources, Strategy } from '@eru/scheduler';

import { effect, type Context } from './context.ts';
import { runHooks } from './hooks.ts';
import { keys } from './keys.ts';
import type { Tenure } from './membership.ts';
import {
  encode,
  type CreateOperation,
  type HookRecord,
  type Slot,
  type SlotsRecord,
  type Versioned,
  type WorkloadRecord,
} from './records.ts';
import { removeUntilGone } from './removal.ts';
import { Reserve } from './reserve.ts';
import { SlotJournal } from './slot-journal.ts';

/** A deploy, validated by the edge. */
export interface CreateRequest {
  app: string;
  entrypoint: string;
  pod: string;
  strategy: Strategy;
  count: number;
  nodesLimit: number;
  /** The nodes to plan on, asked again at each attempt. */
  candidates: () => readonly string[];
  resources: Resources;
  /** Everything of the spec that is the same for all instances. */
  template: Omit<WorkloadSpec, 'name' | 'labels' | 'env' | 'engineParams'>;
  env: readonly string[];
  /** Of the user; core's own are added. They win. */
  labels: Readonly<Record<string, string>>;
  /** `ERU_META` */
  meta: string;
  hook: HookRecord | null;
  afterCreate: readonly string[];
  ignoreHook: boolean;
}

export type CreateEvent =
  | { type: 'planned'; plan: Extract<PlanResult, { ok: true }>; slots: { node: string; slot: Slot }[] }
  | { type: 'refused'; plan: Extract<PlanResult, { ok: false }> }
  | { type: 'step'; name: string; node: string; step: string }
  | {
      type: 'done';
      node: string;
      name: string;
      resources: Resources;
      id: string;
      record: WorkloadRecord | undefined;
      error: EruError | undefined;
      hook: Uint8Array;
    };

/**
 * Creates workloads (operations.md, "Create, per slot"). Events come as things happen; the stream ends when every slot is
 * done or undone. Aborting `signal` undoes what has not started. Errors before anything is booked are thrown.
 */
export function createWorkloads(
  context: Context,
  tenure: Tenure,
  request: CreateRequest,
  signal: AbortSignal,
): AsyncIterable<CreateEvent> {
  const events = new Queue<CreateEvent>();
  new Create(context, tenure, request, signal, events).run().then(
    () => events.end(),
    (error: unknown) => events.end(error),
  );
  return events;
}

/** The plan that a deploy would make, without effect. */
export function planRequest(
  { view }: Context,
  request: Pick<
    CreateRequest,
    'app' | 'entrypoint' | 'strategy' | 'count' | 'nodesLimit' | 'candidates' | 'resources' | 'labels'
  >,
): PlanRequest {
  const { app, entrypoint, strategy, count, nodesLimit, resources, labels } = request;
  return {
    strategy,
    count,
    nodesLimit,
    resources,
    labels,
    candidates: request.candidates(),
    counts: view.counts(app, entrypoint),
  };
}

class Create {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #request: CreateRequest;
  readonly #canceled: AbortSignal;
  readonly #events: Queue<CreateEvent>;

  constructor(
    context: Context,
    tenure: Tenure,
    request: CreateRequest,
    canceled: AbortSignal,
    events: Queue<CreateEvent>,
  ) {
    this.#context = context;
    this.#tenure = tenure;
    this.#request = request;
    this.#canceled = canceled;
    this.#events = events;
  }

  async run(): Promise<void> {
    const { random, clock, running } = this.#context;
    const { app, entrypoint, pod, strategy, count } = this.#request;
    const operation: CreateOperation = {
      v: 1,
      kind: 'create',
      id: random.letters(16),
      owner: this.#tenure.owner,
      createdAtMs: clock.now(),
      key: '',
      state: 'reserving',
      app,
      entrypoint,
      pod,
      strategy,
      count,
    };
    running.add(operation.id);
    try {
      await this.#run(operation);
    } finally {
      running.delete(operation.id);
    }
  }

  async #run(operation: CreateOperation): Promise<void> {
    const reserve = new Reserve(this.#context, this.#tenure, {
      operation,
      plan: () => planRequest(this.#context, this.#request),
    });
    let reserved;
    try {
      reserved = await reserve.run();
    } catch (error) {
      if (reserve.partial !== undefined)
        await undoAll(this.#context, this.#tenure, reserve.partial.header, reserve.partial.slots);
      throw error;
    }
    if (!('header' in reserved)) {
      this.#events.push({ type: 'refused', plan: reserved });
      return;
    }
    const journal = new SlotJournal(this.#context, this.#tenure, reserved.header, reserved.slots);
    const slots = journal.slots();
    this.#events.push({ type: 'planned', plan: reserved.plan, slots });
    const limit = limitConcurrency(this.#context.limits.concurrentEffects);
    await Promise.all(
      slots.map(({ node, slot }) =>
        limit(() =>
          new SlotRun(this.#context, this.#tenure, journal, node, this.#events).create(
            slot,
            this.#request,
            operation.id,
            reserved.header.modRevision,
            this.#canceled,
          ),
        ),
      ),
    );
  }
}

/** Undoes every slot of an operation that its owner did not finish. */
export async function undoAll(
  context: Context,
  tenure: Tenure,
  header: Versioned<CreateOperation>,
  keyed: Iterable<[string, Versioned<SlotsRecord>]>,
): Promise<void> {
  const journal = new SlotJournal(context, tenure, header, keyed);
  const limit = limitConcurrency(context.limits.concurrentEffects);
  await Promise.all(
    journal
      .slots()
      .map(({ node, slot }) =>
        limit(() => new SlotRun(context, tenure, journal, node, undefined).undo(slot, header.value.id, undefined)),
      ),
  );
}

/** The steps of one instance. */
class SlotRun {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #journal: SlotJournal;
  readonly #node: string;
  readonly #events: Queue<CreateEvent> | undefined;

  constructor(
    context: Context,
    tenure: Tenure,
    journal: SlotJournal,
    node: string,
    events: Queue<CreateEvent> | undefined,
  ) {
    this.#context = context;
    this.#tenure = tenure;
    this.#journal = journal;
    this.#node = node;
    this.#events = events;
  }

  async create(
    reserved: Slot,
    request: CreateRequest,
    operation: string,
    right: number,
    canceled: AbortSignal,
  ): Promise<void> {
    let slot = reserved;
    let hook: Uint8Array = new Uint8Array();
    const signal = AbortSignal.any([canceled, this.#tenure.signal]);
    try {
      signal.throwIfAborted();
      const engine = this.#context.engineOf(this.#node);
      const spec = specOf(request, slot, this.#node, operation, this.#context.view);
      const state = await effect(this.#context, this.#tenure, () => engine.create(spec, { revision: right, signal }));
      // From here on its id says what to undo.
      slot = { ...slot, id: state.id };
      this.#step(slot, 'created');
      const record = recordOf(request, slot, state, this.#node, operation, this.#context);
      const recorded = await this.#record(slot, record);
      slot = recorded.slot;
      await effect(this.#context, this.#tenure, () => engine.start(state.id, { revision: right, signal }));
      this.#step(slot, 'started');
      const commands = [...request.afterCreate, ...(request.hook?.afterStart ?? [])];
      if (commands.length > 0) {
        slot = { ...slot, step: 'hooking' };
        await this.#journal.change({ name: slot.name, slot });
        const mandatory = request.hook?.force === true && !request.ignoreHook;
        const outcome = await effect(this.#context, this.#tenure, () =>
          runHooks(engine, state.id, commands, { mandatory, env: request.env, user: request.template.user, signal }),
        );
        hook = outcome.output;
        if (outcome.failure !== undefined) throw outcome.failure;
      }
      await this.#journal.change({
        name: slot.name,
        slot: undefined,
        own: [{ key: keys.claim(slot.id), revision: recorded.revision }],
      });
      this.#step(slot, 'done');
      this.#events?.push({
        type: 'done',
        node: this.#node,
        name: slot.name,
        resources: slot.resources,
        id: slot.id,
        record,
        error: undefined,
        hook,
      });
    } catch (thrown) {
      const error = EruError.from(thrown);
      // Whoever holds the operation now undoes it; the client learns that it was interrupted.
      if (this.#tenure.signal.aborted || isEruError(error, 'fenced')) {
        this.#fail(
          slot,
          new EruError(
            'fenced',
            'this core lost its lease during the operation; another core undoes what was not finished',
            { cause: error },
          ),
          hook,
        );
        return;
      }
      await this.undo(slot, operation, () => this.#fail(slot, error, hook));
    }
  }

  /** Writes the decision, removes the object until it is gone, then gives the booking back. `told` is called once, as soon as the decision stands. */
  async undo(slot: Slot, operation: string, told: (() => void) | undefined): Promise<void> {
    const undoing: Slot = { ...slot, step: 'undoing' };
    await this.#journal.change({ name: slot.name, slot: undoing });
    this.#step(slot, 'undoing');
    told?.();
    const { logger } = this.#context;
    await removeUntilGone(
      this.#context,
      () => this.#context.engineOf(this.#node),
      { name: slot.name, operation, id: slot.id },
      this.#tenure.signal,
      (error) =>
        logger.warn(
          { err: error, operation, name: slot.name, node: this.#node },
          'cannot remove the object of a failed create yet',
        ),
    );
    const claim = slot.recorded ? this.#context.view.claims.get(slot.id)?.modRevision : undefined;
    await this.#journal.change({
      name: slot.name,
      slot: undefined,
      own: claim === undefined ? [] : [{ key: keys.claim(slot.id), revision: claim }],
      deletes: slot.recorded ? [keys.workload(slot.id), keys.workloadStatus(slot.id)] : [],
      booking: { node: this.#node, add: [], subtract: [slot.resources] },
    });
    this.#step(slot, 'undone');
  }

  async #record(slot: Slot, record: WorkloadRecord): Promise<{ slot: Slot; revision: number }> {
    const recorded: Slot = { ...slot, step: 'recorded', recorded: true };
    const revision = await this.#journal.change({
      name: slot.name,
      slot: recorded,
      own: [
        { key: keys.workload(slot.id), revision: 0, value: encode(record) },
        { key: keys.claim(slot.id), revision: 0, value: encode({ v: 1, operation: record.operation }) },
      ],
    });
    this.#step(slot, 'recorded');
    return { slot: recorded, revision };
  }

  #step({ name }: Slot, step: string): void {
    this.#events?.push({ type: 'step', name, node: this.#node, step });
  }

  #fail(slot: Slot, error: EruError, hook: Uint8Array): void {
    this.#events?.push({
      type: 'done',
      node: this.#node,
      name: slot.name,
      resources: slot.resources,
      id: '',
      record: undefined,
      error,
      hook,
    });
  }
}

/** Environment and labels as reference/core-behaviour.md section 3.5 has them. */
function specOf(
  request: CreateRequest,
  slot: Slot,
  node: string,
  operation: string,
  view: Context['view'],
): WorkloadSpec {
  const pod = view.nodes.get(node)?.value.pod ?? request.pod;
  return {
    ...request.template,
    name: slot.name,
    env: [
      ...request.env,
      `APP_NAME=${request.app}`,
      `ERU_POD=${pod}`,
      `ERU_NODE_NAME=${node}`,
      `ERU_WORKLOAD_SEQ=${slot.sequence}`,
    ],
    labels: {
      [labelNames.eru]: '1',
      [labelNames.meta]: request.meta,
      [labelNames.node]: node,
      [labelNames.cluster]: view.cluster.get('')?.value.id ?? '',
      [labelNames.operation]: operation,
      ...request.labels,
    },
    engineParams: slot.engineParams,
  };
}

function recordOf(
  request: CreateRequest,
  slot: Slot,
  state: WorkloadState,
  node: string,
  operation: string,
  { view, clock }: Context,
): WorkloadRecord {
  return {
    v: 1,
    id: state.id,
    name: slot.name,
    app: request.app,
    entrypoint: request.entrypoint,
    pod: request.pod,
    node,
    engine: view.nodes.get(node)?.value.engine ?? '',
    image: request.template.image,
    user: state.user,
    privileged: request.template.privileged,
    env: [...request.env],
    labels: { ...state.labels },
    publish: [...request.template.publish],
    ports: { ...state.ports },
    hook: request.hook,
    resources: slot.resources,
    engineParams: slot.engineParams,
    createdAtMs: clock.now(),
    operation,
  };
}
