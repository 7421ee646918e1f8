import { EruError } from '@eru/kit';
import type { PlannedInstance, PlanRequest, PlanResult } from '@eru/scheduler';

import { bookingWrite, learn } from './booking.ts';
import { commitSize, type Commit, type CommitResult } from './commit.ts';
import type { Context } from './context.ts';
import { formatName, keys, slotsPerKey } from './keys.ts';
import type { Tenure } from './membership.ts';
import { encode, type CreateOperation, type Slot, type SlotsRecord, type Versioned } from './records.ts';

/** A booked plan: the operation's header and slots as the store has them. */
export interface Reservation {
  plan: Extract<PlanResult, { ok: true }>;
  header: Versioned<CreateOperation>;
  slots: [string, Versioned<SlotsRecord>][];
}

export interface ReserveRequest {
  operation: CreateOperation;
  /** Counts and candidates are read from the view at each attempt. */
  plan(): PlanRequest;
}

/** Slots are told apart by their names, chosen before an engine is touched. */
type PlacedSlots = Map<string, Slot[]>;

/**
 * Books a plan (operations.md, "Reserve"): optimistic transactions on the revisions that the plan was made on, groups of
 * nodes in name order. What loses is planned anew on what the store answered. Either everything is booked and the header says
 * `running`, or nothing is.
 */
export class Reserve {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #request: ReserveRequest;
  /** Groups that are booked already. */
  readonly #booked: [string, Versioned<SlotsRecord>][] = [];
  #header: Versioned<CreateOperation>;
  #sequence = 0;

  constructor(context: Context, tenure: Tenure, request: ReserveRequest) {
    this.#context = context;
    this.#tenure = tenure;
    this.#request = request;
    this.#header = { value: request.operation, createRevision: 0, modRevision: 0, lease: undefined };
  }

  /** The refusal when it does not fit. `conflict` when others kept winning; then, too, nothing is left booked by the caller's undo of `partial`. */
  async run(): Promise<Reservation | Extract<PlanResult, { ok: false }>> {
    const { view, scheduler, limits, random, clock } = this.#context;
    for (let attempt = 1; attempt <= limits.reserveAttempts; attempt++) {
      const plan = scheduler.plan(view.fleet, this.#request.plan());
      if (!plan.ok) return plan;
      const booked = await this.#book(plan);
      if (booked !== undefined) return booked;
      // The first losses are between operations of this process and cost no waiting; later ones are spread out.
      if (attempt > 4) await clock.sleep(random.int(Math.min(500, 10 * attempt)), this.#tenure.signal);
    }
    throw new EruError(
      'conflict',
      `other operations changed the chosen nodes ${limits.reserveAttempts} times in a row; try again`,
    );
  }

  /** What is booked although `run` failed: to be undone by the caller. */
  get partial(): { header: Versioned<CreateOperation>; slots: [string, Versioned<SlotsRecord>][] } | undefined {
    return this.#booked.length === 0 ? undefined : { header: this.#header, slots: this.#booked };
  }

  async #book(plan: Extract<PlanResult, { ok: true }>): Promise<Reservation | undefined> {
    const { view, turns } = this.#context;
    const placed = this.#place(plan.instances);
    const nodes = [...placed.keys()];
    const planned = new Map(nodes.map((node) => [node, view.nodeResources.get(node)?.modRevision]));
    const app = this.#appKey();
    const appRevision = app === undefined ? undefined : (view.apps.get(app.slice('apps/'.length))?.modRevision ?? 0);
    return turns.hold([...nodes.map((node) => `node ${node}`), ...(app === undefined ? [] : [app])], async () => {
      const moved = nodes.some((node) => view.nodeResources.get(node)?.modRevision !== planned.get(node));
      const appMoved =
        app !== undefined && (view.apps.get(app.slice('apps/'.length))?.modRevision ?? 0) !== appRevision;
      if (moved || appMoved) return undefined;
      const groups = this.#groups(placed, app, appRevision);
      for (const [index, group] of groups.entries()) {
        const result = await this.#commitGroup(group, index === groups.length - 1);
        if (result.committed) continue;
        learn(this.#context, result.current, [...(group.commit.shared ?? []).map(({ key }) => key)]);
        if (index === 0) return undefined;
        throw new EruError(
          'conflict',
          'other operations changed the chosen nodes while a large deploy was being booked; try again',
        );
      }
      return { plan, header: this.#header, slots: this.#booked };
    });
  }

  #place(instances: readonly PlannedInstance[]): PlacedSlots {
    const { operation } = this.#request;
    const placed: PlacedSlots = new Map();
    this.#sequence = 0;
    for (const { node, resources, engineParams } of instances.toSorted((a, b) =>
      a.node < b.node ? -1 : a.node > b.node ? 1 : 0,
    )) {
      const name = formatName({
        app: operation.app,
        entrypoint: operation.entrypoint,
        ident: this.#context.random.letters(6),
      });
      const slot: Slot = {
        name,
        sequence: this.#sequence++,
        step: 'reserved',
        id: '',
        recorded: false,
        resources,
        engineParams,
      };
      placed.set(node, [...(placed.get(node) ?? []), slot]);
    }
    return placed;
  }

  /** Nodes in name order, as many in one transaction as fit the store's limits. */
  #groups(placed: PlacedSlots, app: string | undefined, appRevision: number | undefined): Group[] {
    const groups: Group[] = [];
    const { limits } = this.#context.store;
    for (const [node, slots] of placed) {
      const own = chunks(slots, slotsPerKey).map((chunk, index) => ({
        key: keys.slots(this.#request.operation.id, node, index),
        revision: 0,
        value: encode({ v: 1, slots: chunk } satisfies SlotsRecord),
      }));
      const shared = bookingWrite(this.#context, { node, add: slots.map(({ resources }) => resources), subtract: [] });
      const bytes = [...own, ...shared].reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
      const open = groups.at(-1);
      // Compares, effects and the else branch each count; two more for the header and the app.
      const room = open === undefined ? 0 : limits.txnOperations - 8 - commitSize(open.commit);
      if (open !== undefined && room >= own.length + shared.length && open.bytes + bytes < limits.txnBytes / 2) {
        open.commit = {
          ...open.commit,
          own: [...open.commit.own, ...own],
          shared: [...(open.commit.shared ?? []), ...shared],
        };
        open.bytes += bytes;
      } else groups.push({ commit: { own, shared }, bytes });
    }
    const first = groups[0];
    if (first !== undefined && app !== undefined && appRevision !== undefined) {
      first.commit = {
        ...first.commit,
        shared: [...(first.commit.shared ?? []), { key: app, revision: appRevision, value: encode({ v: 1 }) }],
      };
    }
    return groups;
  }

  async #commitGroup({ commit }: Group, last: boolean): Promise<CommitResult> {
    const value: CreateOperation = { ...this.#request.operation, state: last ? 'running' : 'reserving' };
    const header = { key: keys.operation(value.id), revision: this.#header.modRevision, value: encode(value) };
    const writesHeader = last || this.#header.modRevision === 0;
    const result = await this.#context.committer.commit(this.#tenure, {
      ...commit,
      own: writesHeader ? [...commit.own, header] : commit.own,
    });
    if (!result.committed) return result;
    if (writesHeader) this.#header = { value, createRevision: 0, modRevision: result.revision, lease: undefined };
    for (const { key, value: slots } of commit.own) {
      const decoded = JSON.parse(new TextDecoder().decode(slots)) as SlotsRecord;
      this.#booked.push([
        key,
        { value: decoded, createRevision: result.revision, modRevision: result.revision, lease: undefined },
      ]);
    }
    return result;
  }

  /** Strategies that look at existing counts exclude each other on one entrypoint. */
  #appKey(): string | undefined {
    const { strategy, app, entrypoint } = this.#request.operation;
    return strategy === 'AUTO' || strategy === 'FILL' ? keys.app(app, entrypoint) : undefined;
  }
}

interface Group {
  commit: Commit;
  bytes: number;
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
