import { isEruError, limitConcurrency } from '@eru/kit';

import type { Context } from '../context.ts';
import type { External } from './external.ts';
import { machineAt } from '../nodes/machine.ts';
import { isEldest, type Tenure } from '../state/membership.ts';

/** Pause between two looks at nodes that have to be settled; a dead core and a failed kind are looked at at once. */
const scanMs = 15_000;

const concurrentNodes = 16;

/**
 * Keeps external kinds true behind the operations' backs: nodes that a new kind does not know are made known to it, and
 * what a dead core or a failed kind has left is settled.
 */
export class ExternalUpkeep {
  readonly #context: Context;
  readonly #external: External;
  readonly #tenure: Tenure;
  readonly #settling = new Set<string>();
  readonly #limit = limitConcurrency(concurrentNodes);

  constructor(context: Context, external: External, tenure: Tenure) {
    this.#context = context;
    this.#external = external;
    this.#tenure = tenure;
  }

  /** Until the tenure ends or `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { view, clock } = this.#context;
    const over = AbortSignal.any([signal, this.#tenure.signal]);
    this.#external.adopted = this.#adoptAll(over).catch(() => {});
    while (!over.aborted) {
      let wake = (): void => {};
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const stop = view.subscribe(({ table, name, after }) => {
        if (table === 'cores' ? after === undefined : table === 'external' && this.#external.claims.isLeft(name))
          wake();
      });
      for (const node of this.#external.claims.doubtful) this.#settle(node, over);
      if (isEldest(view, this.#tenure)) {
        for (const node of view.external.names()) if (this.#external.claims.isLeft(node)) this.#settle(node, over);
      }
      const timer = clock.timer(scanMs, wake);
      over.addEventListener('abort', wake, { once: true });
      await woken;
      over.removeEventListener('abort', wake);
      timer.cancel();
      stop();
    }
  }

  /** Taking the claim settles the node. What fails is tried again at the next look. */
  #settle(node: string, over: AbortSignal): void {
    const { logger, clock } = this.#context;
    if (this.#settling.has(node)) return;
    this.#settling.add(node);
    this.#limit(() => this.#external.claims.hold(this.#tenure, [node], () => Promise.resolve()))
      .then(() => logger.info({ node }, 'settled external resource kinds'))
      .catch(async (err: unknown) => {
        if (over.aborted) return;
        logger.warn({ err, node }, 'external resource kinds cannot be settled yet');
        await clock.sleep(scanMs, over).catch(() => {});
      })
      .finally(() => this.#settling.delete(node));
  }

  async #adoptAll(over: AbortSignal): Promise<void> {
    const { view, logger } = this.#context;
    const { core } = this.#tenure.owner;
    await view.until(() => view.cores.get(core), over);
    if (!isEldest(view, this.#tenure)) return;
    await Promise.all(
      view.nodes.names().map((node) =>
        this.#limit(() => this.#adopt(node)).catch((err: unknown) => {
          if (!over.aborted && !isEruError(err, 'fenced'))
            logger.warn({ err, node }, 'a node is not known to all external resource kinds yet');
        }),
      ),
    );
  }

  async #adopt(node: string): Promise<void> {
    const { view } = this.#context;
    await this.#external.claims.hold(this.#tenure, [node], async () => {
      if (view.nodes.get(node) === undefined) return;
      const machine = await machineAt(this.#context, node, this.#tenure.signal);
      await this.#external.kinds.adopt(node, machine, view.booked(node).get(node) ?? []);
    });
  }
}
