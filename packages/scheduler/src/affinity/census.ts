import type { JsonObject } from '@eru/kit';
import type { Labels, PlannedNode } from '../model.ts';
import { atOnce, countInSteps, type Steps } from '../steps.ts';
import { readKin, readUsage, type Kin } from './booking.ts';
import { nodeLabels } from './node.ts';
import { node as nodeTopology } from './request.ts';
import { LabelTopology, type Topology } from './topology.ts';

/** A kin and where it is. */
export interface KinPresence extends Kin {
  readonly text: string;
  /** Slot -> how many. */
  readonly on: Map<number, number>;
}

/** Labels of nodes that are indexed as topologies: more of them than this, and the indexes are made anew. */
const topologiesKept = 64;

/**
 * Where workloads are, by what they are: a plan looks through the kins (some hundreds), not through the nodes. Node labels
 * are indexed when a request first names them.
 */
export class AffinityCensus {
  readonly #nodes: (Labels | undefined)[] = [];
  /** By slot: the kins on a node. */
  readonly #onNode: (readonly KinPresence[] | undefined)[] = [];
  readonly #kins = new Map<string, KinPresence>();
  /** Those of the kins that do not bear everybody. */
  readonly #guards = new Set<KinPresence>();
  readonly #topologies = new Map<string, LabelTopology>();

  set(slot: number, node: PlannedNode | undefined): void {
    for (const kin of this.#onNode[slot] ?? []) this.#leave(kin, slot);
    this.#nodes[slot] = node === undefined ? undefined : nodeLabels(node);
    this.#onNode[slot] = node === undefined ? undefined : this.#settle(slot, node.resources.usage['affinity'] ?? {});
    for (const topology of this.#topologies.values()) topology.set(slot, this.#nodes[slot]);
  }

  labels(slot: number): Labels {
    return this.#nodes[slot] ?? {};
  }

  kins(): Iterable<KinPresence> {
    return this.#kins.values();
  }

  guards(): Iterable<KinPresence> {
    return this.#guards;
  }

  kinsOn(slot: number): readonly KinPresence[] {
    return this.#onNode[slot] ?? [];
  }

  /** Indexes these labels of nodes, so that `topology` need not do it at once. */
  *index(names: Iterable<string>): Steps<void> {
    for (const name of names) {
      if (name === nodeTopology || this.#topologies.get(name)?.complete === true) continue;
      if (this.#topologies.size >= topologiesKept) this.#topologies.clear();
      // Known before it is complete, so that nodes which change between the steps change in it, too.
      const topology = this.#topologies.get(name) ?? new LabelTopology(name);
      this.#topologies.set(name, topology);
      yield* countInSteps(this.#nodes.length, (slot) => topology.set(slot, this.#nodes[slot]));
      topology.complete = true;
    }
  }

  topology(name: string): Topology {
    if (name === nodeTopology) return { name, domain: (slot) => slot };
    atOnce(this.index([name]));
    return this.#topologies.get(name) as Topology;
  }

  #settle(slot: number, usage: JsonObject): KinPresence[] {
    const present = [...readUsage(usage)].filter(([, count]) => count >= 1);
    // `map`, not `push`: a list that grows has room for more, and there is one for each node.
    return present.map(([text, count]) => {
      const kin = this.#presence(text);
      kin.on.set(slot, count);
      return kin;
    });
  }

  #presence(text: string): KinPresence {
    const known = this.#kins.get(text);
    if (known !== undefined) return known;
    const kin = { text, ...readKin(JSON.parse(text) as JsonObject), on: new Map<number, number>() };
    this.#kins.set(text, kin);
    if (kin.antiAffinity.length > 0 || kin.exclusive !== 'no') this.#guards.add(kin);
    return kin;
  }

  #leave(kin: KinPresence, slot: number): void {
    kin.on.delete(slot);
    if (kin.on.size > 0) return;
    this.#kins.delete(kin.text);
    this.#guards.delete(kin);
  }
}
