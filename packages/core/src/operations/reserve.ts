import { EruError } from '@eru/kit';
import type { Asked, PlannedInstance, PlanRequest, PlanResult, Resources } from '@eru/scheduler';

import { bookingWrite, learn } from './booking.ts';
import { commitSize, type Commit, type CommitResult } from '../state/commit.ts';
import type { Context } from '../context.ts';
import { formatName, keys, slotsPerKey } from '../state/keys.ts';
import { slotNode } from '../invariants.ts';
import type { Tenure } from '../state/membership.ts';
import { inSlices } from './slices.ts';
import { requestBegin, taken, type RequestKey } from './requests.ts';
import { encode, type CreateOperation, type Slot, type SlotsRecord, type Versioned } from '../state/records.ts';

/** A booked plan: the operation's header and slots as the store has them. */
export interface Reservation {
  plan: Plan;
  header: Versioned<CreateOperation>;
  slots: [string, Versioned<SlotsRecord>][];
}

type Plan = Extract<PlanResult, { ok: true }>;
type Refused = Extract<PlanResult, { ok: false }>;

export interface ReserveRequest {
  operation: CreateOperation;
  request?: RequestKey | undefined;
  /** Counts and candidates are read from the view at each attempt. */
  plan(): PlanRequest;
  /** What external kinds say to it, asked ahead of each attempt; absent = there are none. */
  ask?: (() => Promise<Asked>) | undefined;
  /** What is asked of them, which each slot waits for. */
  external?: Resources | undefined;
}

/** Slots are told apart by their names, chosen before an engine is touched. */
type PlacedSlots = Map<string, Slot[]>;

/**
 * Books a plan (docs/protocol.md, "Reserve"): optimistic transactions on the revisions that the plan was made on, groups of
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
  #losses = 0;
  #asked: Asked | undefined;

  constructor(context: Context, tenure: Tenure, request: ReserveRequest) {
    this.#context = context;
    this.#tenure = tenure;
    this.#request = request;
    this.#header = { value: request.operation, createRevision: 0, modRevision: 0, lease: undefined };
  }

  /** The refusal when it does not fit. `conflict` when others kept winning; then, too, nothing is left booked by the caller's undo of `partial`. */
  async run(): Promise<Reservation | Refused> {
    const { limits, random, clock, turns } = this.#context;
    let answer = await this.#attempt();
    for (let losses = 0; losses < limits.reserveAttempts;) {
      if (answer !== 'moved' && answer !== 'lost') return answer;
      if (answer === 'lost') losses += 1;
      if (losses > 4) await clock.sleep(random.int(Math.min(500, 10 * losses)), this.#tenure.signal);
      // They all want the best node. One at a time, each plans on what the one before has booked.
      answer = await turns.hold(['reserve'], () => this.#attempt());
    }
    throw tooOften(limits.reserveAttempts);
  }

  async #attempt(): Promise<Reservation | Refused | 'moved' | 'lost'> {
    this.#asked = await this.#request.ask?.();
    const { plan, app } = await this.#plan();
    return plan.ok ? this.#book(plan, app) : plan;
  }

  /** What is booked although `run` failed: to be undone by the caller. */
  get partial(): { header: Versioned<CreateOperation>; slots: [string, Versioned<SlotsRecord>][] } | undefined {
    return this.#booked.length === 0 ? undefined : { header: this.#header, slots: this.#booked };
  }

  /**
   * A plan on the view as it is now. On a large fleet the first plan of a request takes its time, in which others go on; one
   * that does not hold any more when it is there is made again, at the cost of what has changed. Who books it looks again: a
   * booking compares the revisions of the view, not of the plan.
   */
  async #plan(share: (whole: PlanRequest) => PlanRequest = (whole) => whole): Promise<Planned> {
    const { view, scheduler, clock, measures } = this.#context;
    const beganAtMs = clock.monotonic();
    for (let attempt = 1; ; attempt++) {
      const app = this.#appRevision();
      const asked = this.#asked === undefined ? {} : { asked: this.#asked };
      const steps = scheduler.planInSteps(view.fleet, { ...share(this.#request.plan()), ...asked });
      const plan = await inSlices(steps, clock, this.#tenure.signal);
      if (!plan.ok || attempt === plansInARow || (app === this.#appRevision() && this.#holds(plan))) {
        measures.plan.observe((clock.monotonic() - beganAtMs) / 1000);
        return { plan, app };
      }
    }
  }

  /** Whether the nodes are still as they were planned on. */
  #holds({ nodes }: Plan): boolean {
    const { fleet } = this.#context.view;
    return nodes.every((node) => fleet.get(node.name) === node);
  }

  /** `moved` when other nodes are better by now, `lost` when another core was faster: plan again. */
  async #book(first: Plan, plannedApp: number): Promise<Reservation | Refused | 'moved' | 'lost'> {
    const { turns } = this.#context;
    const app = this.#sharedApp(first);
    const nodes = new Set(first.nodes.map(({ name }) => name));
    return turns.hold([...nodes].map((node) => `node ${node}`).concat(app ?? []), async () => {
      let plan = first;
      const changed = (app: number): boolean => app !== this.#appRevision() || !this.#holds(plan);
      if (changed(plannedApp)) {
        // Somebody of this process was faster. On the nodes that are held now nobody will be.
        const again = await this.#plan();
        if (!again.plan.ok) return again.plan;
        ({ plan } = again);
        const held = this.#sharedApp(plan) === app && plan.nodes.every(({ name }) => nodes.has(name));
        if (!held || changed(again.app)) return 'moved';
      }
      const groups = this.#groups(this.#place(plan.instances), app, this.#appRevision());
      while (groups.length > 0) {
        const group = groups.shift() as Group;
        const result = await this.#commitGroup(group, groups.length === 0);
        if (result.committed) continue;
        this.#context.measures.conflicts.inc();
        learn(
          this.#context,
          result,
          (group.commit.shared ?? []).map(({ key }) => key),
        );
        if (this.#booked.length === 0) return 'lost';
        groups.unshift(...(await this.#planShare(group, groups)));
      }
      return { plan, header: this.#header, slots: this.#booked };
    });
  }

  /** Plans the share of a group that has lost anew, on nodes that no other group has; the slots keep names and numbers. */
  async #planShare(lost: Group, others: readonly Group[]): Promise<Group[]> {
    const { limits } = this.#context;
    if (++this.#losses > limits.reserveAttempts) throw tooOften(limits.reserveAttempts);
    const slots = [...lost.placed.values()].flat();
    const taken = new Set([
      ...this.#booked.map(([key]) => slotNode(key)),
      ...others.flatMap(({ placed }) => [...placed.keys()]),
    ]);
    const { plan } = await this.#plan((whole) => {
      const perNode = whole.strategy === 'EACH' || whole.strategy === 'FILL';
      return {
        ...whole,
        candidates: whole.candidates.filter((node) => !taken.has(node)),
        ...(perNode ? { nodesLimit: lost.placed.size } : { count: slots.length }),
      };
    });
    if (!plan.ok || plan.instances.length !== slots.length) {
      throw new EruError(
        'no_capacity',
        'other operations took the room while a large deploy was being booked; try again',
      );
    }
    if (!this.#holds(plan)) return this.#planShare(lost, others);
    const placed: PlacedSlots = new Map();
    for (const [index, { node, resources, engineParams }] of plan.instances.entries()) {
      const slot: Slot = { ...(slots[index] as Slot), resources, engineParams };
      placed.set(node, [...(placed.get(node) ?? []), slot]);
    }
    return this.#groups(new Map([...placed].toSorted(([a], [b]) => (a < b ? -1 : 1))), undefined, undefined);
  }

  #place(instances: readonly PlannedInstance[]): PlacedSlots {
    const { operation } = this.#request;
    const placed: PlacedSlots = new Map();
    let sequence = 0;
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
        sequence: sequence++,
        step: 'reserved',
        id: '',
        recorded: false,
        resources,
        engineParams,
        ...(this.#asked !== undefined && { external: this.#request.external ?? {} }),
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
      // Compares, effects and the else branch each count; three more for the header, the app and the request.
      const room = open === undefined ? 0 : limits.txnOperations - 9 - commitSize(open.commit);
      if (open !== undefined && room >= own.length + shared.length && open.bytes + bytes < limits.txnBytes / 2) {
        open.commit = {
          ...open.commit,
          own: [...open.commit.own, ...own],
          shared: [...(open.commit.shared ?? []), ...shared],
        };
        open.bytes += bytes;
        open.placed.set(node, slots);
      } else groups.push({ commit: { own, shared }, bytes, placed: new Map([[node, slots]]) });
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
    const { request } = this.#request;
    const value: CreateOperation = { ...this.#request.operation, state: last ? 'running' : 'reserving' };
    const header = { key: keys.operation(value.id), revision: this.#header.modRevision, value: encode(value) };
    const writesHeader = last || this.#header.modRevision === 0;
    const result = await this.#context.committer.commit(this.#tenure, {
      ...commit,
      own: [
        ...commit.own,
        ...(writesHeader ? [header] : []),
        ...(this.#header.modRevision === 0 ? requestBegin(request, value.id) : []),
      ],
    });
    if (!result.committed) {
      if (request !== undefined && this.#header.modRevision === 0 && result.current.has(keys.request(request.key)))
        throw taken(request.key);
      return result;
    }
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

  #appRevision(): number {
    const { app, entrypoint } = this.#request.operation;
    return this.#context.view.apps.get(`${app}/${entrypoint}`)?.modRevision ?? 0;
  }

  /** Plans that look at where others of the entrypoint are exclude each other: by their strategy, or by a resource kind. */
  #sharedApp({ followed }: Plan): string | undefined {
    const { strategy, app, entrypoint } = this.#request.operation;
    return strategy === 'AUTO' || strategy === 'FILL' || followed ? keys.app(app, entrypoint) : undefined;
  }
}

interface Planned {
  plan: PlanResult;
  /** Revision of the app whose counts it was made on. */
  app: number;
}

/** Plans that may be out of date before they are finished. */
const plansInARow = 4;

interface Group {
  commit: Commit;
  bytes: number;
  placed: PlacedSlots;
}

function tooOften(attempts: number): EruError {
  return new EruError('conflict', `other operations changed the chosen nodes ${attempts} times in a row; try again`);
}

function chunks<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}
