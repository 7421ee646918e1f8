import type { Clock } from '@eru/kit';

import type { NodeStatusRecord } from './records.ts';
import type { Change, Tables } from './tables.ts';

/**
 * Which nodes report. A node is down when its heartbeat has lapsed; nothing is written for that, everybody sees the key go.
 * One thing is not its death: when the store was silent nobody could renew a heartbeat, so those that lapsed meanwhile are
 * spared for as long as they live otherwise, which is the time that their agents need to be heard again.
 */
export class Heartbeats {
  readonly #view: Pick<Tables, 'nodes' | 'nodeStatuses'>;
  readonly #clock: Clock;
  readonly #listeners = new Set<(node: string, reports: boolean) => void>();
  readonly #spared = new Map<string, { cancel(): void }>();
  /** Monotonic time at which the store was last heard again after a silence. */
  #returnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(view: Pick<Tables, 'nodes' | 'nodeStatuses'>, clock: Clock) {
    this.#view = view;
    this.#clock = clock;
  }

  reports(node: string): boolean {
    return this.#view.nodeStatuses.get(node) !== undefined || this.#spared.has(node);
  }

  /** Told when a node begins or ceases to report, not of renewals; returns the way to stop. */
  subscribe(listener: (node: string, reports: boolean) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The store is heard again after a silence. To be called before what it has to tell is looked at. */
  returned(): void {
    this.#returnedAtMs = this.#clock.monotonic();
  }

  /** Its agent has taken its leave: that is no silence. */
  left(node: string): void {
    if (!this.#forgive(node)) return;
    this.#tell(node, false);
  }

  changed({ table, name, before, after }: Change): void {
    if (table === 'nodes' && after === undefined) this.#forgive(name);
    if (table !== 'nodeStatuses' || (before === undefined) === (after === undefined)) return;
    if (after !== undefined) {
      if (!this.#forgive(name)) this.#tell(name, true);
      return;
    }
    const { ttlMs } = (before as NonNullable<typeof before>).value as NodeStatusRecord;
    const spareMs = this.#returnedAtMs + ttlMs - this.#clock.monotonic();
    if (spareMs <= 0 || this.#view.nodes.get(name) === undefined) return this.#tell(name, false);
    this.#spared.set(
      name,
      this.#clock.timer(spareMs, () => {
        this.#spared.delete(name);
        this.#tell(name, false);
      }),
    );
  }

  /** True when it was spared. */
  #forgive(node: string): boolean {
    this.#spared.get(node)?.cancel();
    return this.#spared.delete(node);
  }

  #tell(node: string, reports: boolean): void {
    for (const listener of this.#listeners) listener(node, reports);
  }
}
