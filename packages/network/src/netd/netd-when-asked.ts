import { EruError } from '@eru/kit';

import type { Netd } from './netd.ts';
import type { WorkloadSource } from './reconciler.ts';
import { verbs, type NetworkService, type Served } from './service.ts';

/**
 * A daemon that is opened by the first call, so that a machine on which nobody asks for a network pays nothing for it. When that
 * fails the caller is told why, and the next call tries again.
 */
export class NetdWhenAsked {
  readonly service: Served;
  readonly #open: () => Promise<Netd>;
  readonly #sources: WorkloadSource[] = [];
  #netd: Promise<Netd> | undefined;
  #opened: Netd | undefined;
  #closed = false;

  constructor(open: () => Promise<Netd>) {
    this.#open = open;
    const calls = verbs.map((verb) => [
      verb,
      (request: unknown, signal?: AbortSignal) => this.#call(verb, request, signal),
    ]);
    const service = Object.fromEntries(calls) as unknown as NetworkService;
    this.service = Object.defineProperty(service, 'repairs', { get: () => this.#opened?.repairs ?? 0 }) as Served;
  }

  /** Now, because it has something to look after. */
  async open(): Promise<Netd> {
    this.#netd ??= this.#begin();
    return this.#netd;
  }

  addSource(source: WorkloadSource): void {
    this.#sources.push(source);
    this.#opened?.addSource(source);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#netd?.catch(() => {}); // Who asked for it was told.
    await this.#opened?.close();
  }

  async #begin(): Promise<Netd> {
    try {
      const netd = await this.#open();
      for (const source of this.#sources) netd.addSource(source);
      this.#opened = netd;
      return netd;
    } catch (error) {
      this.#netd = undefined;
      throw error;
    }
  }

  async #call(verb: (typeof verbs)[number], request: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    if (this.#closed && this.#netd === undefined) throw new EruError('unavailable', 'the network daemon is closing');
    const netd = await this.open();
    const call = netd[verb] as (request: unknown, signal?: AbortSignal) => Promise<unknown>;
    return call.call(netd, request, signal);
  }
}
