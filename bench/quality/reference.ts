import type { CpuMemoryNode } from '../reference/cpumem.ts';
import {
  bookReference,
  referencePlanner,
  type ReferenceBooking,
  type ReferenceNode,
  type ReferenceRequest,
} from '../reference/planner.ts';
import type { StorageNode } from '../reference/storage.ts';
import { parseBinding } from '../reference/volume-plans.ts';
import { AppCounts } from './app-counts.ts';
import { coreIds, numaIds, numaNodeOf } from './machines.ts';
import type { Machine, Wish } from './shapes.ts';
import type { Holding, Subject, SubjectMaker } from './subject.ts';

/** The yardstick. It remembers capacities of unchanged nodes, or a trace would take an hour. */
export const referenceSubject: SubjectMaker = (machine, names, maxShare) => subject(machine, names, maxShare, false);

/** The same under the obligation that ours has: a realloc moves nothing that need not move. */
export const keepingSubject: SubjectMaker = (machine, names, maxShare) => subject(machine, names, maxShare, true);

function subject(machine: Machine, names: readonly string[], maxShare: number, keeping: boolean): Subject {
  const planner = referencePlanner({ shareBase: 100, maxShare, mendMemory: true }, { remember: true, keeping });
  const nodes = new Map(names.map((name) => [name, referenceNode(machine)]));
  const requests = new Map<Wish, ReferenceRequest>();
  const bookings = new WeakMap<Holding, ReferenceBooking>();
  const counts = new AppCounts();
  const book = (name: string, booking: ReferenceBooking, sign: 1 | -1): void => {
    nodes.set(name, bookReference(nodes.get(name) as ReferenceNode, booking, sign));
  };
  // One object per wish: that is what capacities are remembered by.
  const requestOf = (wish: Wish): ReferenceRequest => {
    const request = requests.get(wish) ?? referenceRequest(wish);
    requests.set(wish, request);
    return request;
  };
  const hold = (node: string, wish: Wish, booking: ReferenceBooking): Holding => {
    const { cores, numaNode } = booking.cpumem;
    const holding = { node, wish, cores, numaNode, volumes: booking.storage.volumes };
    bookings.set(holding, booking);
    return holding;
  };

  return {
    place({ wish, count, strategy, app, candidates }) {
      const among = new Map(candidates.map((name) => [name, nodes.get(name) as ReferenceNode]));
      const plan = planner.plan(among, requestOf(wish), strategy, count, counts.of(app));
      return plan?.map(([node, booking]) => {
        book(node, booking, 1);
        counts.add(app, node, 1);
        return hold(node, wish, booking);
      });
    },
    release(holding, app) {
      book(holding.node, bookings.get(holding) as ReferenceBooking, -1);
      counts.add(app, holding.node, -1);
    },
    resize(holding, wish) {
      const { node } = holding;
      const current = bookings.get(holding) as ReferenceBooking;
      const next = planner.realloc(nodes.get(node) as ReferenceNode, current, requestOf(wish));
      if (next === undefined) return undefined;
      book(node, current, -1);
      book(node, next, 1);
      return hold(node, wish, next);
    },
  };
}

export function referenceRequest(wish: Wish): ReferenceRequest {
  return { cpumem: wish, volumes: (wish.volumes ?? []).map(parseBinding) };
}

export function referenceNode(machine: Machine): ReferenceNode {
  const { cores, memory, numaNodes } = machine;
  const ids = coreIds(machine);
  const numas = numaIds(machine);
  const cpumem: CpuMemoryNode = {
    capacity: {
      cpu: cores,
      memory,
      cores: new Map(ids.map((core) => [core, 100])),
      numaMemory: new Map(numas.map((node) => [node, memory / numaNodes])),
    },
    usage: { cpu: 0, memory: 0, cores: new Map(), numaMemory: new Map() },
    numa: new Map(numas.length === 0 ? [] : ids.map((core) => [core, numaNodeOf(core, machine)])),
  };
  const storage: StorageNode = {
    volumes: new Map(Object.entries(machine.volumes ?? {})),
    disks: [],
    usage: { volumes: new Map(), io: new Map() },
  };
  return { cpumem, storage };
}
