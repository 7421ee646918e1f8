import { EruError, limitConcurrency, Queue } from '@eru/kit';
import type { ExitState } from '@eru/engines';
import type { PlanRequest, PlanResult, Resources, Strategy } from '@eru/scheduler';

import type { Context } from '../context.ts';
import { effect } from '../effects.ts';
import type { StoredSlots } from '../external/external.ts';
import { partOf } from '../external/kinds.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import {
  encode,
  type CreateOperation,
  type Outcome,
  type RequestRecord,
  type Slot,
  type SlotsRecord,
  type Versioned,
  type WorkloadRecord,
} from '../state/records.ts';
import { requestOf, type RequestKey } from './requests.ts';
import { Reserve, type Reservation } from './reserve.ts';
import { SlotJournal } from './slot-journal.ts';
import { SlotRun, type SlotsContext } from './slot-run.ts';
import { placedLabels, restored, stored, type InstanceRequest } from './spec-of.ts';
import { pullImage } from './supply.ts';
import { tableOf } from './tables-of.ts';
import { slotTables } from './transitions.ts';

/** A deploy, validated by the edge. */
export interface CreateRequest extends InstanceRequest {
  strategy: Strategy;
  count: number;
  nodesLimit: number;
  /** The nodes to plan on, asked again at each attempt. */
  candidates: () => readonly string[];
  resources: Resources;
  request?: RequestKey | undefined;
  /** Nobody waits: it is finished, not undone, when this core dies. Files are not stored, so with files it is undone all the same. */
  asynchronous?: boolean;
  lambda?: Lambda;
}

/** Instances that run once, and are removed when they have ended. */
export interface Lambda {
  /** Removed at this time even if they run; 0 = never. Holds after this core's death too. */
  deadlineMs: number;
  follow: SlotsContext['follow'];
}

export type CreateEvent =
  | {
      type: 'planned';
      operation: string;
      plan: Extract<PlanResult, { ok: true }>;
      slots: { node: string; slot: Slot }[];
    }
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
      /** The node could not be prepared: no instance was tried. */
      unprepared: boolean;
    }
  /** A lambda's instance has ended and is removed, or could not be waited for. */
  | { type: 'exited'; id: string; exit: ExitState | undefined; error: EruError | undefined };

/**
 * Creates workloads (docs/protocol.md, "Create, per slot"). Events come as things happen; the stream ends when every slot is
 * done or undone. Aborting `signal` undoes what has not started. Errors before anything is booked are thrown.
 */
export function createWorkloads(
  context: Context,
  tenure: Tenure,
  request: CreateRequest,
  signal: AbortSignal,
): AsyncIterable<CreateEvent> {
  const events = new Queue<CreateEvent>();
  create(context, tenure, request, signal, events).then(
    () => events.end(),
    (error: unknown) => events.end(error),
  );
  return events;
}

/** The plan that a deploy would make, without effect. */
export function planRequest(
  context: Context,
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
    labels: placedLabels({ app, entrypoint, labels }),
    candidates: request.candidates(),
    counts: context.view.counts(app, entrypoint),
    seed: context.planSeed(),
  };
}

async function create(
  context: Context,
  tenure: Tenure,
  request: CreateRequest,
  canceled: AbortSignal,
  events: Queue<CreateEvent>,
): Promise<void> {
  const { random, clock, running } = context;
  const { app, entrypoint, pod, strategy, count, lambda } = request;
  const operation: CreateOperation = {
    v: 1,
    kind: lambda === undefined ? 'create' : 'lambda',
    id: random.letters(16),
    owner: tenure.owner,
    createdAtMs: clock.now(),
    key: request.request?.key ?? '',
    state: 'reserving',
    app,
    entrypoint,
    pod,
    strategy,
    count,
    ...(request.asynchronous === true && request.files.size === 0 && { request: stored(request) }),
    ...(lambda !== undefined && { deadlineMs: lambda.deadlineMs }),
  };
  const wanted = request.asynchronous === true ? new AbortController().signal : canceled;
  running.add(operation.id);
  try {
    const reserved = await inTurn(context, request, () => reserve(context, tenure, operation, request, wanted));
    if (!('header' in reserved)) {
      events.push({ type: 'refused', plan: reserved });
      return;
    }
    const journal = await journalOf(context, tenure, reserved.header, reserved.slots, []);
    events.push({ type: 'planned', operation: operation.id, plan: reserved.plan, slots: journal.slots() });
    await runSlots(
      {
        context,
        tenure,
        journal,
        table: tableOf(reserved.header.value),
        operation: operation.id,
        right: reserved.header.modRevision,
        request,
        canceled: wanted,
        prepare: preparation(context, tenure, request, wanted),
        events,
        ...(lambda?.follow !== undefined && { follow: lambda.follow }),
      },
      false,
      new Map(),
    );
  } finally {
    running.delete(operation.id);
  }
}

/** Booked, or refused, or, when it failed in between, given back. */
async function reserve(
  context: Context,
  tenure: Tenure,
  operation: CreateOperation,
  request: CreateRequest,
  canceled: AbortSignal,
): Promise<Reservation | Extract<PlanResult, { ok: false }>> {
  const { external } = context;
  const signal = AbortSignal.any([canceled, tenure.signal]);
  const attempt = new Reserve(context, tenure, {
    operation,
    request: request.request,
    plan: () => planRequest(context, request),
    ...(external !== undefined && {
      ask: () => external.ask(request.candidates(), request.resources, signal),
      external: partOf(request.resources, external.kinds.names),
    }),
  });
  let reserved: Reservation | Extract<PlanResult, { ok: false }>;
  try {
    reserved = await attempt.run();
  } catch (error) {
    if (attempt.partial !== undefined)
      await finishCreate(context, tenure, attempt.partial.header, attempt.partial.slots, new Map());
    throw error;
  }
  if (external === undefined || !('header' in reserved)) return reserved;
  const { slots, failure } = await external.bookSlots(tenure, headerOf(reserved), reserved.slots);
  if (failure === undefined) return { ...reserved, slots };
  await giveBack(context, tenure, { ...reserved, slots }, failure);
  throw failure;
}

/**
 * Deploys that ask for something of an external kind take turns in this process: between its answer and its booking
 * nobody here takes what it offered.
 */
function inTurn<T>({ external, turns }: Context, { resources }: CreateRequest, work: () => Promise<T>): Promise<T> {
  const asked = external === undefined ? {} : partOf(resources, external.kinds.names);
  return turns.hold(
    Object.keys(asked).map((kind) => `kind ${kind}`),
    work,
  );
}

function headerOf({ header }: Reservation): Versioned<CreateOperation> & { key: string } {
  return { ...header, key: keys.operation(header.value.id) };
}

/** Undoes a booked plan that an external kind has refused, and says so first: a core that takes it over undoes it too. */
async function giveBack(
  context: Context,
  tenure: Tenure,
  { header, slots }: Reservation,
  failure: EruError,
): Promise<void> {
  const value: CreateOperation = { ...header.value, state: 'undoing' };
  const result = await context.committer.commit(tenure, {
    own: [{ key: keys.operation(value.id), revision: header.modRevision, value: encode(value) }],
  });
  if (!result.committed) throw new EruError('fenced', `operation ${value.id} was taken over`);
  const undoing = { ...header, value, modRevision: result.revision };
  await runSlots(
    {
      context,
      tenure,
      journal: await journalOf(context, tenure, undoing, slots, []),
      table: tableOf(value),
      operation: value.id,
      right: result.revision,
      request: undefined,
      canceled: AbortSignal.abort(failure),
      prepare: () => Promise.resolve(),
      events: undefined,
    },
    false,
    new Map(),
  );
}

/**
 * Goes on from slots that a core has left: nothing that a client waits for is made any more, what was begun is undone, and
 * what nobody waits for is finished (docs/protocol.md, "Takeover").
 */
export async function finishCreate(
  context: Context,
  tenure: Tenure,
  header: Versioned<CreateOperation>,
  slots: readonly [string, Versioned<SlotsRecord>][],
  /** Workload id -> revision of its claim. */
  claims: ReadonlyMap<string, number>,
): Promise<void> {
  const { value: operation, modRevision } = header;
  const { external, logger } = context;
  let left: StoredSlots = [...slots];
  if (external !== undefined && operation.state === 'running' && operation.request !== undefined) {
    const booked = await external.bookSlots(tenure, { ...header, key: keys.operation(operation.id) }, left);
    left = booked.slots;
    if (booked.failure !== undefined)
      logger.warn({ err: booked.failure, operation: operation.id }, 'external resource kinds refuse what was planned');
  }
  const journal = await journalOf(context, tenure, header, left, made(context, operation.id));
  const request = operation.request === undefined ? undefined : restored(operation.request, operation);
  const asked = new AbortController().signal;
  const over = deadlineOf(context, operation);
  try {
    await runSlots(
      {
        context,
        tenure,
        journal,
        table: tableOf(operation),
        operation: operation.id,
        right: modRevision,
        request,
        canceled: over.signal,
        prepare: request === undefined ? () => Promise.resolve() : preparation(context, tenure, request, asked),
        events: undefined,
      },
      true,
      claims,
    );
  } finally {
    over.clear();
  }
}

async function runSlots(of: SlotsContext, takenOver: boolean, claims: ReadonlyMap<string, number>): Promise<void> {
  const limit = limitConcurrency(of.context.limits.concurrentEffects);
  const runs = of.journal.slots().map(({ node, slot }) => {
    const run = (): Promise<void> => new SlotRun(of, node, slot, claims.get(slot.id) ?? 0).run(takenOver);
    // A lambda may run for days: it holds no place.
    return of.table === slotTables.lambda ? run() : limit(run);
  });
  await Promise.all(runs);
}

async function journalOf(
  context: Context,
  tenure: Tenure,
  header: Versioned<CreateOperation>,
  slots: readonly [string, Versioned<SlotsRecord>][],
  before: readonly Outcome[],
): Promise<SlotJournal> {
  const request: Versioned<RequestRecord> | undefined = await requestOf(context, header.value.key, tenure.signal);
  return new SlotJournal(
    context,
    tenure,
    header,
    slots,
    request === undefined ? undefined : { request, outcomes: [...before, ...request.value.failures] },
  );
}

/** What an operation has made and finished before: its records that no slot speaks of. */
function made({ view }: Context, operation: string): Outcome[] {
  const open = new Set(view.slotsOf(operation).flatMap(([, { value }]) => value.slots.map(({ name }) => name)));
  return [...view.workloads]
    .map(([, { value }]) => value)
    .filter((record) => record.operation === operation && !open.has(record.name))
    .map(({ name, node, id }) => ({ name, node, id, error: '', hook: '' }));
}

/** Each node's image is fetched once, by the first instance that needs it. */
function preparation(
  context: Context,
  tenure: Tenure,
  { template: { image }, ignorePull }: InstanceRequest,
  canceled: AbortSignal,
): SlotsContext['prepare'] {
  if (image === '' || ignorePull) return () => Promise.resolve();
  const pulls = new Map<string, Pull>();
  const signal = AbortSignal.any([canceled, tenure.signal]);
  const begin = (node: string): Pull => {
    const pull: Pull = { told: `fetching ${image}`, tellers: [], done: Promise.resolve() };
    const tell = (progress: string): void => {
      if (progress === pull.told) return;
      pull.told = progress;
      for (const teller of pull.tellers) teller(progress);
    };
    pull.done = effect(context, tenure, () =>
      pullImage(context.engineOf(node), image, context.registries, signal, tell),
    );
    pulls.set(node, pull);
    return pull;
  };
  return (node, tell) => {
    const pull = pulls.get(node) ?? begin(node);
    pull.tellers.push(tell);
    tell(pull.told);
    return pull.done;
  };
}

/** An image on its way to a node. */
interface Pull {
  done: Promise<void>;
  /** How far it is. */
  told: string;
  /** Those who wait for it. */
  tellers: ((progress: string) => void)[];
}

/** Aborts when a lambda's time is over. */
function deadlineOf({ clock }: Context, { deadlineMs = 0 }: CreateOperation): { signal: AbortSignal; clear(): void } {
  const over = new AbortController();
  if (deadlineMs === 0) return { signal: over.signal, clear: () => {} };
  const timer = clock.timer(Math.max(0, deadlineMs - clock.now()), () =>
    over.abort(new DOMException('its time is over', 'TimeoutError')),
  );
  return { signal: over.signal, clear: () => timer.cancel() };
}
