import { EruError, isJsonObject, type Clock, type Json } from '@eru/kit';
import type { Asked, ExternalAnswer, MachineInfo, PlannedInstance, Resources } from '@eru/scheduler';
import type { ExternalKinds, ExternalNode } from '@eru/core';

/** Seats of a node that is added without saying. */
const defaultSeats = 6;

/**
 * One kind whose usage lives outside of every core: `seats`, asked for as `{ n }`. It outlives cores, answers after a while,
 * and does no sums of its own: what it is told to add it adds, so that a booking made twice shows.
 */
export class FakeKinds implements ExternalKinds {
  readonly names = ['seats'];
  readonly nodes = new Map<string, { capacity: number; used: number }>();
  /** Throws to refuse a call that changes something, before its effect. */
  refuse: (call: 'book', node: string) => void = () => {};
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async ask(nodes: readonly string[], resources: Resources): Promise<Asked> {
    await this.#work();
    const wanted = seats(resources['seats']);
    const capacities = new Map(
      nodes.map((name) => {
        const { capacity, used } = this.#node(name);
        const count = wanted === 0 ? Number.POSITIVE_INFINITY : Math.max(0, Math.floor((capacity - used) / wanted));
        return [name, { count, usage: used / capacity, rate: wanted / capacity, weight: 1 }] as const;
      }),
    );
    return { seats: { capacities } satisfies ExternalAnswer };
  }

  async allot(instances: readonly PlannedInstance[], resources: Resources): Promise<readonly PlannedInstance[]> {
    await this.#work();
    const n = seats(resources['seats']);
    const wanted = new Map<string, number>();
    for (const { node } of instances) wanted.set(node, (wanted.get(node) ?? 0) + n);
    for (const [name, more] of wanted) {
      const { capacity, used } = this.#node(name);
      if (used + more > capacity) throw tooFew(name, more, capacity - used);
    }
    if (n === 0) return instances;
    return instances.map((instance) => ({
      ...instance,
      resources: { ...instance.resources, seats: { n } },
      engineParams: { ...instance.engineParams, seats: { seats: n } },
    }));
  }

  async book(name: string, workloads: readonly Resources[], direction: 'add' | 'subtract'): Promise<void> {
    await this.#work();
    this.refuse('book', name);
    this.#node(name).used += (direction === 'add' ? 1 : -1) * sum(workloads);
  }

  async realloc(name: string, current: Resources, request: Resources): Promise<{ asked: Asked }> {
    await this.#work();
    const { capacity, used } = this.#node(name);
    const n = seats(current['seats']) + seats(request['seats']);
    if (used + n - seats(current['seats']) > capacity) throw tooFew(name, n, capacity - used);
    const given = { resources: { n }, engineParams: { seats: n } };
    return { asked: { seats: { realloc: given } satisfies ExternalAnswer } };
  }

  async remap(): Promise<Asked> {
    await this.#work();
    return { seats: { remap: new Map() } satisfies ExternalAnswer };
  }

  async addNode(name: string, request: Resources | undefined, _machine?: MachineInfo): Promise<ExternalNode> {
    await this.#work();
    if (this.nodes.has(name)) throw new EruError('exists', `seats: node ${name} is there already`);
    this.nodes.set(name, { capacity: seats(request?.['seats']) || defaultSeats, used: 0 });
    return this.#shown(name, 0);
  }

  async removeNode(name: string): Promise<void> {
    await this.#work();
    this.nodes.delete(name);
  }

  async setCapacity(name: string, request: Resources): Promise<Resources> {
    await this.#work();
    this.#node(name).capacity = seats(request['seats']);
    return { seats: { n: this.#node(name).capacity } };
  }

  async info(name: string, workloads: readonly Resources[]): Promise<ExternalNode> {
    await this.#work();
    return this.#shown(name, sum(workloads));
  }

  async fix(name: string, workloads: readonly Resources[]): Promise<ExternalNode> {
    const found = await this.info(name, workloads);
    await this.settle(name, workloads);
    return found;
  }

  async settle(name: string, workloads: readonly Resources[]): Promise<void> {
    await this.#work();
    this.#node(name).used = sum(workloads);
  }

  async adopt(name: string, _machine: MachineInfo | undefined, workloads: readonly Resources[]): Promise<void> {
    await this.#work();
    if (!this.nodes.has(name)) this.nodes.set(name, { capacity: defaultSeats, used: sum(workloads) });
  }

  #work(): Promise<void> {
    return this.#clock.sleep(3);
  }

  #node(name: string): { capacity: number; used: number } {
    const node = this.nodes.get(name);
    if (node === undefined) throw new EruError('not_found', `seats: node ${name} is not known`);
    return node;
  }

  #shown(name: string, held: number): ExternalNode {
    const { capacity, used } = this.#node(name);
    return {
      capacity: { seats: { n: capacity } },
      usage: { seats: { n: used } },
      differences: used === held ? [] : [`seats: ${used} are booked, ${held} are held`],
    };
  }
}

/** Seats that workloads hold. */
export function sum(workloads: readonly Resources[]): number {
  return workloads.reduce((total, resources) => total + seats(resources['seats']), 0);
}

function seats(part: Json | undefined): number {
  return isJsonObject(part) && typeof part['n'] === 'number' ? part['n'] : 0;
}

function tooFew(node: string, wanted: number, free: number): EruError {
  return new EruError('no_capacity', `seats: ${wanted} wanted on ${node}, ${free} free`);
}
