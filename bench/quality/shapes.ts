/** What one instance of a trace asks for. */
export interface Wish {
  readonly bind: boolean;
  /** Cores, with fragments; request and limit alike. */
  readonly cpu: number;
  /** Bytes. */
  readonly memory: number;
  /** Bindings such as `AUTO:/data:rw:10G`. */
  readonly volumes?: readonly string[];
}

/** Machines that are all alike. */
export interface Machine {
  readonly cores: number;
  /** Bytes; each NUMA node has its equal part. */
  readonly memory: number;
  /** 1 = the machine has no NUMA. */
  readonly numaNodes: number;
  /** Path -> bytes. */
  readonly volumes?: Readonly<Record<string, number>>;
}

/** A kind of life that a fleet may lead. */
export interface Shape {
  readonly name: string;
  readonly machine: Machine;
  readonly machines: number;
  /** How many cores of a machine may be fragments; -1 = no limit. */
  readonly maxShare: number;
  /** Drawn by weight. */
  readonly mix: readonly (Wish & { readonly weight: number })[];
  /** What is asked for at any time, as a share of what there is. */
  readonly load: number;
  /** Lives in units of the mean life, drawn by weight. */
  readonly lives: readonly { readonly weight: number; readonly factor: number }[];
}

export const gib = 2 ** 30;

const plain: Machine = { cores: 32, memory: 128 * gib, numaNodes: 1 };
const numa: Machine = { cores: 32, memory: 128 * gib, numaNodes: 2 };
/**
 * A fleet that would just do if nothing were ever left over: what it refuses, it refuses for being in pieces. Workloads have
 * one kind of life, unless a shape says otherwise.
 */
const usual = { machines: 16, maxShare: -1, load: 0.95, lives: [{ weight: 1, factor: 1 }] };

export const shapes: readonly Shape[] = [
  {
    ...usual,
    name: 'whole cores',
    machine: plain,
    mix: [bound(1, 2, 40), bound(2, 4, 30), bound(4, 8, 20), bound(8, 16, 10)],
  },
  {
    ...usual,
    name: 'fragments',
    machine: plain,
    mix: [0.1, 0.25, 0.3, 0.45, 0.6, 0.75, 0.9, 1.1, 1.2, 1.35, 1.5, 1.6, 1.75, 1.9].map((cpu) => bound(cpu, 1, 1)),
  },
  {
    ...usual,
    name: 'fragments, max share 8',
    machine: plain,
    maxShare: 8,
    mix: [bound(0.3, 1, 30), bound(0.45, 1, 20), bound(1.35, 2, 20), bound(1.6, 2, 10), bound(2, 4, 20)],
  },
  {
    ...usual,
    name: 'mixed, with unbound',
    machine: plain,
    mix: [
      bound(1, 2, 15),
      bound(4, 8, 10),
      bound(0.35, 1, 15),
      bound(0.5, 1, 15),
      bound(1.3, 2, 15),
      bound(2.6, 4, 10),
      unbound(0.5, 2, 10),
      unbound(2, 6, 10),
    ],
  },
  {
    ...usual,
    name: 'NUMA, mixed',
    machine: numa,
    mix: [
      bound(0.3, 1, 20),
      bound(0.7, 1, 15),
      bound(1, 2, 15),
      bound(1.5, 2, 15),
      bound(2, 4, 15),
      bound(4, 8, 12),
      bound(8, 16, 8),
    ],
  },
  {
    ...usual,
    name: 'NUMA, memory tight',
    machine: numa,
    mix: [bound(0.5, 5, 20), bound(1, 3, 20), bound(1.4, 9, 15), bound(2, 6, 20), bound(4, 24, 15), bound(6, 12, 10)],
  },
  {
    ...usual,
    name: 'NUMA, memory tight, with unbound',
    machine: numa,
    mix: [
      bound(0.5, 3, 20),
      bound(1, 3, 20),
      bound(1.4, 5, 15),
      bound(4, 20, 15),
      unbound(1, 6, 20),
      unbound(2, 10, 10),
    ],
  },
  {
    ...usual,
    name: 'four NUMA nodes, fragments and whole cores',
    machine: { ...plain, numaNodes: 4 },
    mix: [bound(0.3, 1, 30), bound(0.45, 1, 20), bound(0.7, 2, 10), bound(2, 6, 20), bound(4, 12, 20)],
  },
  {
    ...usual,
    name: 'skewed sizes, churn',
    machine: numa,
    lives: [
      { weight: 9, factor: 0.3 },
      { weight: 1, factor: 7.3 },
    ],
    mix: [
      bound(0.2, 0.5, 30),
      bound(0.55, 1, 25),
      bound(1, 2, 20),
      bound(1.25, 2, 10),
      bound(3, 6, 8),
      bound(6.5, 12, 4),
      bound(14, 32, 3),
    ],
  },
  {
    ...usual,
    name: 'long and short lives',
    machine: plain,
    lives: [
      { weight: 95, factor: 0.25 },
      { weight: 5, factor: 15.25 },
    ],
    mix: [bound(0.4, 1, 30), bound(0.75, 1, 20), bound(1, 2, 20), bound(1.5, 2, 10), bound(2, 4, 10), bound(8, 16, 10)],
  },
  {
    ...usual,
    name: 'with volumes',
    machine: { ...plain, volumes: { '/d0': 1000 * gib, '/d1': 1000 * gib, '/d2': 2000 * gib, '/d3': 4000 * gib } },
    mix: [
      { ...bound(0.5, 1, 30), volumes: volumes(100) },
      { ...bound(1, 2, 30), volumes: volumes(70, 350) },
      { ...bound(1.5, 3, 20), volumes: volumes(450) },
      { ...bound(2, 4, 15), volumes: volumes(600, 80) },
      { ...bound(4, 8, 5), volumes: volumes(1700) },
    ],
  },
];

/** What a wish's volumes take together. */
export function volumeBytes({ volumes = [] }: Wish): number {
  return volumes.reduce((sum, binding) => sum + Number(binding.split(':')[3]), 0);
}

function bound(cpu: number, memoryGib: number, weight: number): Wish & { readonly weight: number } {
  return { bind: true, cpu, memory: memoryGib * gib, weight };
}

function unbound(cpu: number, memoryGib: number, weight: number): Wish & { readonly weight: number } {
  return { bind: false, cpu, memory: memoryGib * gib, weight };
}

function volumes(...sizesGib: readonly number[]): string[] {
  return sizesGib.map((size, index) => `AUTO:/v${index}:rw:${size * gib}`);
}
