import { stableStringify, type JsonObject } from '@eru/kit';
import { Recent } from '../recent.ts';
import { diskOf, type Disk } from './disk.ts';
import { readHoldings } from './node.ts';

/** What does not change when workloads come and go: one object for all nodes with the same capacity. Bytes. */
export interface Model {
  /** Different models have different numbers. */
  readonly id: number;
  readonly storage: number;
  /** Sum over the volumes. */
  readonly volumes: number;
  /** In the order of their paths. */
  readonly bins: readonly Bin[];
  readonly disks: readonly Disk[];
}

/** One volume of a node, as the planner packs it: a bin, in the words of the literature. */
export interface Bin {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Position of its disk; -1 = none is known, so that it cannot promise IO. */
  readonly disk: number;
}

/** A fleet has a handful of machine models. */
const modelsKept = 256;

/** Makes models, the same object for the same capacity. */
export class Models {
  readonly #recent = new Recent<Model>(modelsKept);
  #made = 0;

  of(capacity: JsonObject): Model {
    return this.#recent.get(stableStringify(capacity), () => {
      this.#made += 1;
      return makeModel(this.#made, capacity);
    });
  }
}

function makeModel(id: number, capacity: JsonObject): Model {
  const { storage, volumes, disks } = readHoldings(capacity);
  const bins = Object.entries(volumes)
    .map(([path, size]): Bin => ({ path, size, disk: diskOf(disks, path) }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  return { id, storage, volumes: bins.reduce((sum, { size }) => sum + size, 0), bins, disks };
}
