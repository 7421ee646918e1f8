import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

import type { Engine, WorkloadState } from '@eru/engines';
import type { Clock } from '@eru/kit';

import { headOf, lineOf, partsOf } from './logs/line.ts';

/**
 * The lines of one app from now on, each a JSON object with CRLF (reference/agent.md section 13). Every workload of it is
 * read by a stream of its own, at the pace of this listener: one that is slow holds up nobody, and finds the log as far back
 * as the engine keeps it.
 */
export class LiveLog {
  readonly #app: string;
  readonly #engine: Engine;
  readonly #pod: string;
  readonly #sinceMs: number;
  readonly #response: ServerResponse;
  readonly #left = new AbortController();
  readonly #following = new Set<string>();

  constructor(options: { app: string; engine: Engine; pod: string; clock: Clock; response: ServerResponse }) {
    this.#app = options.app;
    this.#engine = options.engine;
    this.#pod = options.pod;
    this.#sinceMs = options.clock.now();
    this.#response = options.response;
    options.response.once('close', () => this.#left.abort());
  }

  /** `known`: it was there before this listener, who gets only what is new. */
  seen(state: WorkloadState, known: boolean): void {
    if (this.#left.signal.aborted || this.#following.has(state.id) || partsOf(state.name)?.app !== this.#app) return;
    this.#following.add(state.id);
    // A log that ends or breaks off is taken up again when its workload is seen next.
    const done = (): void => void this.#following.delete(state.id);
    this.#follow(state, known).then(done, done);
  }

  end(): void {
    this.#left.abort();
    this.#response.end();
  }

  async #follow(state: WorkloadState, known: boolean): Promise<void> {
    const { signal } = this.#left;
    const head = headOf(state, this.#pod);
    if (head === undefined) return;
    const from = known ? { tail: 0 } : { sinceMs: this.#sinceMs };
    for await (const entry of this.#engine.logs(state.id, { follow: true, signal, ...from })) {
      const taken = this.#response.write(`${lineOf(head, entry).slice(0, -1)}\r\n`);
      if (!taken) await once(this.#response, 'drain', { signal });
    }
  }
}
