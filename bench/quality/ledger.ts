import { cpuPlans, type ShareRules } from '../reference/cpu-plans.ts';
import { coreIds, numaIds, numaNodeOf } from './machines.ts';
import { volumeBytes, type Machine, type Shape, type Wish } from './shapes.ts';
import type { Holding } from './subject.ts';

interface Account {
  /** Core -> free pieces. */
  readonly cores: Map<string, number>;
  memory: number;
  readonly numaMemory: Map<string, number>;
  readonly volumes: Map<string, number>;
}

/**
 * What is free on each node by the judge's own count: it believes no planner. Keeps the first violation of each kind that it
 * sees, and measures how well what is free can still be used.
 */
export class Ledger {
  readonly faults = new Map<string, number>();
  readonly #shape: Shape;
  readonly #rules: ShareRules;
  readonly #numa: ReadonlyMap<string, string>;
  readonly #accounts = new Map<string, Account>();
  readonly #bound = new Set<Holding>();

  constructor(shape: Shape) {
    const { machine, maxShare } = shape;
    this.#shape = shape;
    this.#rules = { shareBase: 100, maxShare, mendMemory: true };
    const ids = machine.numaNodes === 1 ? [] : coreIds(machine);
    this.#numa = new Map(ids.map((core) => [core, numaNodeOf(core, machine)]));
  }

  add(holding: Holding): void {
    this.#check(holding);
    this.#book(holding, 1);
    if (holding.wish.bind) this.#bound.add(holding);
  }

  remove(holding: Holding): void {
    this.#book(holding, -1);
    this.#bound.delete(holding);
  }

  /** Share of the bound workloads whose cores and memory lie in one NUMA node. */
  insideNuma(): number | undefined {
    if (this.#shape.machine.numaNodes === 1 || this.#bound.size === 0) return undefined;
    let inside = 0;
    for (const holding of this.#bound) if (holding.numaNode !== '') inside += 1;
    return inside / this.#bound.size;
  }

  /**
   * Share of the free pieces that stay free when nodes are filled with instances of one wish: `best` with the wish of the mix
   * that uses most on each node (nothing of the mix can use those: they are stranded), `mean` over the mix (what an average
   * request cannot use).
   */
  stranded(): { best: number; mean: number } {
    const wishes = this.#shape.mix.filter(({ bind }) => bind);
    const weights = wishes.reduce((total, { weight }) => total + weight, 0);
    let [free, best, mean] = [0, 0, 0];
    for (const account of this.#accounts.values()) {
      const here = sum(account.cores);
      let least = here;
      for (const wish of wishes) {
        const left = here - this.#plans(account, wish) * pieces(wish);
        least = Math.min(least, left);
        mean += (left * wish.weight) / weights;
      }
      free += here;
      best += least;
    }
    return free === 0 ? { best: 0, mean: 0 } : { best: best / free, mean: mean / free };
  }

  #plans(account: Account, wish: Wish): number {
    return cpuPlans({ ...account, numa: this.#numa }, wish, this.#rules).length;
  }

  #check({ wish, cores, numaNode, volumes }: Holding): void {
    if (!wish.bind) {
      if (cores.size > 0) this.#fault('cores for an unbound workload');
      return;
    }
    const whole = Math.trunc(pieces(wish) / 100);
    const amounts = [...cores.values()];
    if (amounts.reduce((total, amount) => total + amount, 0) !== pieces(wish)) this.#fault('not the pieces asked for');
    if (amounts.filter((amount) => amount === 100).length !== whole) this.#fault('whole cores in fragments');
    if (numaNode !== '' && [...cores.keys()].some((core) => this.#numa.get(core) !== numaNode))
      this.#fault('NUMA node named, cores elsewhere');
    if (sum(volumes) !== volumeBytes(wish)) this.#fault('not the volume bytes asked for');
  }

  #book({ node, wish, cores, numaNode, volumes }: Holding, sign: 1 | -1): void {
    const account = this.#account(node);
    for (const [core, amount] of cores) this.#take(account.cores, core, sign * amount, 'core over capacity');
    for (const [path, bytes] of volumes) this.#take(account.volumes, path, sign * bytes, 'volume over capacity');
    if (numaNode !== '') this.#take(account.numaMemory, numaNode, sign * wish.memory, 'NUMA memory over capacity');
    account.memory -= sign * wish.memory;
    if (sign > 0 && account.memory < 0) this.#fault('node memory over capacity');
  }

  #take(free: Map<string, number>, name: string, amount: number, fault: string): void {
    const left = (free.get(name) ?? 0) - amount;
    free.set(name, left);
    if (amount > 0 && left < 0) this.#fault(fault);
  }

  #account(node: string): Account {
    const known = this.#accounts.get(node);
    if (known !== undefined) return known;
    const { machine } = this.#shape;
    const account = freeAccount(machine);
    this.#accounts.set(node, account);
    return account;
  }

  #fault(what: string): void {
    this.faults.set(what, (this.faults.get(what) ?? 0) + 1);
  }
}

function freeAccount(machine: Machine): Account {
  return {
    cores: new Map(coreIds(machine).map((core) => [core, 100])),
    memory: machine.memory,
    numaMemory: new Map(numaIds(machine).map((node) => [node, machine.memory / machine.numaNodes])),
    volumes: new Map(Object.entries(machine.volumes ?? {})),
  };
}

/** Cut, not rounded (section 3.5, step 3). */
function pieces({ cpu }: Wish): number {
  return Math.trunc(cpu * 100);
}

function sum(amounts: ReadonlyMap<string, number>): number {
  let total = 0;
  for (const amount of amounts.values()) total += amount;
  return total;
}
