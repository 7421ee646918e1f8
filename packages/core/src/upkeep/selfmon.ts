import type { Context } from '../context.ts';
import { isEldest, type Tenure } from '../state/membership.ts';

/** Deaths and returns within this time are told together: a rack that loses power is one line. */
const gatherMs = 1000;
/** Names in one line. */
const named = 20;

/**
 * Tells of nodes that die and come back. One core does it, the eldest by its lease; nothing is written to the store, however
 * many workloads there are: what is shown of them follows from the heartbeat when it is read (`shownStatus`), in all cores alike.
 */
export class Selfmon {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #changed = new Map<string, boolean>();

  constructor(context: Context, tenure: Tenure) {
    this.#context = context;
    this.#tenure = tenure;
  }

  /** Until the tenure ends or `signal` aborts. */
  run(signal: AbortSignal): void {
    const { view, clock, measures } = this.#context;
    const over = AbortSignal.any([signal, this.#tenure.signal]);
    if (over.aborted) return;
    const unsubscribe = view.heartbeats.subscribe((node, reports) => {
      if (!isEldest(view, this.#tenure)) return;
      if (!reports) measures.deaths.inc();
      if (this.#changed.size === 0) clock.timer(gatherMs, () => this.#tell());
      this.#changed.set(node, reports);
    });
    over.addEventListener('abort', unsubscribe, { once: true });
  }

  #tell(): void {
    const { view, logger } = this.#context;
    const dead = [...this.#changed].filter(([node, reports]) => !reports && view.nodes.get(node) !== undefined);
    const back = [...this.#changed].filter(([, reports]) => reports);
    this.#changed.clear();
    if (dead.length > 0) {
      const workloads = dead.reduce((sum, [node]) => sum + view.workloadCount(node), 0);
      const nodes = dead.slice(0, named).map(([node]) => node);
      logger.warn({ nodes, count: dead.length, workloads }, 'nodes do not report: their workloads are shown as down');
    }
    if (back.length > 0)
      logger.info({ nodes: back.slice(0, named).map(([node]) => node), count: back.length }, 'nodes report');
  }
}
