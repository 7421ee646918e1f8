import { EruError, deadline, isEruError } from '@eru/kit';
import { engineOf, lacksEngine, readTar } from '@eru/engines';
import type { Allocation, Resources } from '@eru/scheduler';

import type { Context } from '../context.ts';
import { insist } from '../effects.ts';
import { formatName, keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import { encode, type ReplaceOperation, type Slot, type SlotsRecord, type WorkloadRecord } from '../state/records.ts';
import { paramsOf } from './remap.ts';
import { removeUntilGone } from './removal.ts';
import type { RequestKey } from './requests.ts';
import { placedLabels, recordOf, specOf, type FileContent, type InstanceRequest } from './spec-of.ts';
import { pullImage, putFiles } from './supply.ts';
import { runOnWorkload, type Change, type Machine, type WorkloadRun } from './workload-run.ts';

/** What takes the place of an old workload, on its node. */
export interface ReplaceRequest {
  id: string;
  /** The new one; its pod is the old one's. */
  instance: Omit<InstanceRequest, 'pod'>;
  /** `ERU_WORKLOAD_SEQ` */
  sequence: number;
  /** The new one asks for the old one's networks and addresses; the old one must run. */
  inheritNetworks: boolean;
  /** Files and folders of the old one -> where they go in the new one. */
  copy: ReadonlyMap<string, string>;
  /**
   * The new one is started before the old one is stopped, with a booking of its own for these resources. Absent: in place,
   * with the old one's resources as they are.
   */
  overlap: Resources | undefined;
  /** How long the new one may take to be reported healthy before the old one comes back; 0 = it need not be. */
  gateMs: number;
  /** The wire's check, which engines of processes do not need. */
  needsImage: boolean;
  request?: RequestKey | undefined;
}

export interface Replaced {
  old: WorkloadRecord;
  /** Undefined when it failed: the old one is back. */
  record: WorkloadRecord | undefined;
  /** Of the new one, also when it failed after it was named. */
  name: string;
  /** It was made, even if it failed afterwards. */
  tried: boolean;
  failure: EruError | undefined;
  stopHook: Uint8Array;
  startHook: Uint8Array;
}

/**
 * Replaces one workload by a new one on the same node. The decision is written before the old one is removed; until then any
 * failure removes the new one and brings the old one back. @throws what kept it from being begun
 */
export async function replaceWorkload(
  context: Context,
  tenure: Tenure,
  request: ReplaceRequest,
  signal: AbortSignal,
): Promise<Replaced> {
  const { id, overlap, gateMs, instance } = request;
  const operation = {
    kind: 'replace' as const,
    overlap: overlap !== undefined,
    wasRunning: false,
    ignoreHook: instance.ignoreHook,
    gateMs,
  };
  const making = new Making(request);
  const machine = replaceMachine(making);
  const { run, failure } = await runOnWorkload(
    context,
    tenure,
    { id, operation, machine, request: request.request },
    signal,
  );
  return {
    old: run.record.value,
    record: failure === undefined ? making.record : undefined,
    name: making.name,
    tried: making.record !== undefined,
    failure,
    stopHook: run.printed('stop'),
    startHook: run.printed('start'),
  };
}

/** What is known of the new one only in the process that makes it. */
class Making {
  readonly request: ReplaceRequest;
  name = '';
  networks: Readonly<Record<string, string>>;
  readonly files: Map<string, FileContent>;
  wasRunning = false;
  record: WorkloadRecord | undefined;
  /** What external kinds give to the new one. */
  given: Allocation | undefined;

  constructor(request: ReplaceRequest) {
    this.request = request;
    this.networks = request.instance.template.networks;
    this.files = new Map(request.instance.files);
  }

  instance({ pod }: WorkloadRecord): InstanceRequest {
    const { instance } = this.request;
    return { ...instance, pod, template: { ...instance.template, networks: this.networks }, files: this.files };
  }

  get commands(): string[] {
    const { afterCreate, hook } = this.request.instance;
    return [...afterCreate, ...(hook?.afterStart ?? [])];
  }
}

type Run = WorkloadRun<ReplaceOperation>;

/** Without `making`, for a takeover: everything that needs it is given up by the table. */
export function replaceMachine(making: Making | undefined): Machine<ReplaceOperation> {
  const made = (): Making => {
    if (making === undefined) throw new EruError('internal', 'the request of this operation is not known any more');
    return making;
  };
  return {
    needed: (effect, { gateMs, wasRunning }, { hook }) => {
      switch (effect) {
        case 'stopHooks':
        case 'retireHooks':
          return (hook?.beforeStop.length ?? 0) > 0;
        case 'startHooks':
          return making === undefined || making.commands.length > 0;
        case 'healthy':
          return gateMs > 0;
        case 'startOld':
          return wasRunning;
        case 'returnHooks':
          return wasRunning && (hook?.afterStart.length ?? 0) > 0;
        default:
          return true;
      }
    },
    effects: {
      prepare: (run) => prepare(run, made()),
      stopHooks: (run) => stopHooks(run, run.record.value.hook?.force === true && !run.operation.ignoreHook),
      /** The decision stands: what fails here fails for itself. */
      retireHooks: (run) =>
        stopHooks(run, false).catch((error: unknown) => {
          if (run.tenure.signal.aborted) throw error;
          run.context.logger.warn({ err: error, workload: run.record.value.id }, 'hooks before a removal failed');
        }),
      stopOld: (run) => {
        const grace = run.operation.ignoreHook ? { graceMs: 0 } : {};
        return run.call((engine, options) => engine.stop(run.record.value.id, { ...options, ...grace }));
      },
      createNew: (run) => createNew(run, made()),
      startNew: async (run) => {
        const { id } = slotOf(run);
        await run.call((engine, { signal }) => putFiles(engine, id, made().files, signal));
        await run.call((engine, options) => engine.start(id, options));
      },
      startHooks: async (run) => {
        const { instance } = made().request;
        const mandatory = instance.hook?.force === true && !instance.ignoreHook;
        const record = { env: [...instance.env], user: instance.template.user };
        await run.hooks(slotOf(run).id, made().commands, { mandatory, record, as: 'start' });
      },
      healthy: (run) => healthy(run),
      removeOld: (run) => removeOld(run),
      retireOld: async (run) => {
        await run
          .call((engine, options) => engine.stop(run.record.value.id, options))
          .catch((error: unknown) => {
            // What a stop cannot end, the forced removal does.
            if (run.tenure.signal.aborted) throw error;
          });
        await removeOld(run);
      },
      removeNew: async (run) => {
        if (run.slot === undefined) return;
        const { name, id } = run.slot.slot;
        await remove(run, { name, id, operation: run.operation.id });
      },
      startOld: (run) =>
        insist(run.context, run.tenure, () =>
          run.call((engine, options) => engine.start(run.record.value.id, options)),
        ),
      returnHooks: async (run) => {
        const { value: record } = run.record;
        await run.hooks(record.id, record.hook?.afterStart ?? [], { mandatory: false, record, as: 'stop' });
      },
    },
    ask: {
      bookNew: async (run, external) => {
        const { node } = run.operation;
        const { overlap = {} } = made().request;
        const { signal } = run.tenure;
        run.asked = await external.ask([node], overlap, signal);
        [made().given] = await external.kinds.allot([{ node, resources: {}, engineParams: {} }], overlap, signal);
      },
    },
    transactions: {
      moveBooking: (run) => {
        const { value: record } = run.record;
        const { resources, engineParams } = record;
        return {
          ...putSlot(run, newSlot(made(), resources, engineParams)),
          operation: { wasRunning: made().wasRunning, held: { [record.id]: {} } },
          booking: { add: [], subtract: [] },
        };
      },
      bookNew: (run) => bookNew(run, made()),
      recordNew: (run) => recordNew(run, made()),
      dropNew: (run) => ({ ...dropNew(run), operation: { held: {} } }),
      freeNew: (run) => ({ ...dropNew(run), booking: { add: [], subtract: newResources(run) } }),
      swap: (run) => swap(run),
      freeOld: (run) => ({ ...swap(run), booking: { add: [], subtract: [run.record.value.resources] } }),
    },
  };
}

async function stopHooks(run: Run, mandatory: boolean): Promise<void> {
  const { value: record } = run.record;
  if (!(await run.isRunning(record.id))) return;
  await run.hooks(record.id, record.hook?.beforeStop ?? [], { mandatory, record, as: 'stop' });
}

/** All that can be refused while the old one still runs. */
async function prepare(run: Run, making: Making): Promise<void> {
  const { value: old } = run.record;
  const { request } = making;
  const { app, entrypoint, template, ignorePull } = request.instance;
  const state = await run.call((engine, { signal }) => engine.inspect(old.id, { signal }));
  making.wasRunning = state.state === 'running';
  making.name = formatName({ app, entrypoint, ident: run.context.random.letters(6) });
  if (request.inheritNetworks) {
    if (state.state !== 'running')
      throw new EruError('precondition', `workload ${old.id} is not running, can not inherit: invalid workload ops`);
    making.networks = state.networks;
  }
  if (request.needsImage && template.image === '' && !ignorePull) throw new EruError('invalid', 'no image');
  const lack = lacksEngine(run.context.view.nodes.get(run.operation.node)?.value.engine ?? '', engineOf(template));
  if (lack !== undefined) throw new EruError('unsupported', `node ${run.operation.node}: ${lack}`);
  if (template.image !== '' && !ignorePull)
    await run.call((engine, { signal }) => pullImage(engine, template.image, run.context.registries, signal));
  for (const [source, target] of request.copy) await copyOut(run, making, source, target);
}

/** A file goes to the target's path, what is below a folder goes below it. */
async function copyOut(run: Run, making: Making, source: string, target: string): Promise<void> {
  const archive = await run.call(async (engine, { signal }) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of engine.copyFrom(run.record.value.id, source, { signal })) pieces.push(piece);
    return Buffer.concat(pieces);
  });
  for (const [name, file] of readTar(archive)) {
    const below = name.split('/').slice(1).join('/');
    making.files.set(below === '' ? target : `${target.replace(/\/+$/, '')}/${below}`, file);
  }
}

function newSlot(making: Making, resources: Resources, engineParams: Resources): Slot {
  const { sequence } = making.request;
  return { name: making.name, sequence, step: 'reserved', id: '', recorded: false, resources, engineParams };
}

/** Planned on the node as it is now: whatever wins against this transaction changes the plan too. */
function bookNew(run: Run, making: Making): Change<ReplaceOperation> {
  const { view, scheduler } = run.context;
  const plan = scheduler.plan(view.fleet, {
    strategy: 'EACH',
    count: 1,
    nodesLimit: 1,
    candidates: [run.operation.node],
    resources: making.request.overlap ?? {},
    labels: placedLabels(making.request.instance),
    counts: new Map(),
    ...(run.asked !== undefined && { asked: run.asked }),
  });
  const [planned] = plan.ok ? plan.instances : [];
  if (planned === undefined)
    throw new EruError(
      'no_capacity',
      `no room for the new one beside the old one on node ${run.operation.node}: ${plan.ok ? '' : plan.message}`,
    );
  const resources = { ...planned.resources, ...making.given?.resources };
  const engineParams = { ...planned.engineParams, ...making.given?.engineParams };
  return {
    ...putSlot(run, newSlot(making, resources, engineParams)),
    operation: { wasRunning: making.wasRunning },
    booking: { add: [resources], subtract: [] },
  };
}

function putSlot(run: Run, slot: Slot): Change<ReplaceOperation> {
  const key = run.slot?.key ?? keys.slots(run.operation.id, run.operation.node, 0);
  const claimRevision = run.slot?.claimRevision ?? 0;
  return {
    own: [{ key, revision: run.slot?.revision ?? 0, value: encode({ v: 1, slots: [slot] } satisfies SlotsRecord) }],
    written: (revision) => {
      run.slot = { key, revision, slot, claimRevision };
    },
  };
}

async function createNew(run: Run, making: Making): Promise<void> {
  const { context, operation } = run;
  const instance = making.instance(run.record.value);
  const slot = slotOf(run);
  const engineParams = paramsOf(context, operation.node, { ...slot, id: slot.name });
  const succeeds = run.record.value.name;
  const spec = { ...specOf(instance, slot, operation.node, operation.id, context.view), engineParams, succeeds };
  const state = await run.call((engine, options) => engine.create(spec, options));
  // From here on its id says what to undo.
  if (run.slot !== undefined) run.slot = { ...run.slot, slot: { ...slot, id: state.id } };
  making.record = recordOf(instance, slot, state, operation.node, operation.id, context);
}

function recordNew(run: Run, making: Making): Change<ReplaceOperation> {
  const { record } = making;
  if (record === undefined) throw new EruError('internal', 'the new workload has no record to write');
  const slot: Slot = { ...slotOf(run), step: 'recorded', recorded: true };
  const put = putSlot(run, slot);
  return {
    own: [
      ...(put.own ?? []),
      { key: keys.workload(record.id), revision: 0, value: encode(record) },
      { key: keys.claim(record.id), revision: 0, value: encode({ v: 1, operation: run.operation.id }) },
    ],
    written: (revision) => {
      put.written?.(revision);
      if (run.slot !== undefined) run.slot = { ...run.slot, claimRevision: revision };
    },
  };
}

function dropNew(run: Run): Change<ReplaceOperation> {
  const { slot } = run;
  if (slot === undefined) return {};
  const { id, recorded } = slot.slot;
  return {
    own: [{ key: slot.key, revision: slot.revision }, ...newClaim(run)],
    deletes: recorded ? [keys.workload(id), keys.workloadStatus(id)] : [],
    written: () => {
      run.slot = undefined;
    },
  };
}

function newResources({ slot }: Run): Resources[] {
  return slot === undefined ? [] : [slot.slot.resources];
}

function swap(run: Run): Change<ReplaceOperation> {
  const { value: old } = run.record;
  const { slot } = run;
  return {
    own: slot === undefined ? [] : [{ key: slot.key, revision: slot.revision }, ...newClaim(run)],
    deletes: [keys.workload(old.id), keys.workloadStatus(old.id)],
  };
}

/** The gate: the agent must have reported it healthy in time. */
async function healthy(run: Run): Promise<void> {
  const { view, clock } = run.context;
  const { id, name } = slotOf(run);
  const { gateMs } = run.operation;
  const limit = deadline(clock, gateMs, run.tenure.signal);
  try {
    await view.until(() => (view.workloadStatuses.get(id)?.value.healthy === true ? true : undefined), limit.signal);
  } catch (error) {
    if (!isEruError(EruError.from(error), 'timeout')) throw error;
    const reason = view.workloadStatuses.get(id)?.value.run?.reason ?? '';
    throw new EruError('failed', `${name} was not healthy within ${gateMs / 1000} s${reason && `: ${reason}`}`);
  } finally {
    limit.clear();
  }
}

function removeOld(run: Run): Promise<void> {
  const { name, id, operation } = run.record.value;
  return remove(run, { name, id, operation });
}

function remove(run: Run, object: { name: string; id: string; operation: string }): Promise<void> {
  return run.call((_engine, { signal }) =>
    removeUntilGone(
      run.context,
      () => run.engine(),
      object,
      signal,
      (error) => run.context.logger.warn({ err: error, name: object.name }, 'cannot remove what was replaced yet'),
    ),
  );
}

function newClaim({ slot }: Run): { key: string; revision: number }[] {
  return slot === undefined || slot.claimRevision === 0
    ? []
    : [{ key: keys.claim(slot.slot.id), revision: slot.claimRevision }];
}

function slotOf({ slot }: Run): Slot {
  if (slot === undefined) throw new EruError('internal', 'this operation has no slot');
  return slot.slot;
}
