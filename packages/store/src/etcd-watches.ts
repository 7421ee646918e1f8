import type { MessageInitShape } from '@eru/contract';
import type { Clock, Logger } from '@eru/kit';
import { EruError, Queue, backoff } from '@eru/kit';

import { refusesWatch } from './etcd-auth.ts';
import type { Endpoint } from './etcd-endpoint.ts';
import type { Endpoints } from './etcd-endpoints.ts';
import type { EtcdWire } from './etcd-wire.ts';
import { fromEtcd, revisionOf } from './etcd-wire.ts';
import type { WatchRequestSchema, WatchResponse } from './gen/etcd_pb.ts';
import { compactedError } from './mvcc.ts';
import type { WatchBatch, WatchOptions } from './store.ts';

/** Batches that wait for a slow consumer. One that is further behind is told etcd to stop, and starts again when it has caught up. */
const queueLimit = 1024;

type Request = MessageInitShape<typeof WatchRequestSchema>;

interface Watcher {
  range: { key: Uint8Array; rangeEnd: Uint8Array };
  /** First revision not yet queued; 0 while unknown: "from now". */
  next: number;
  /** Its number on the open stream; undefined while it is not on one. */
  id: number | undefined;
  stands: boolean;
  queue: Queue<WatchBatch>;
}

/**
 * All watches of a store on one stream. Whatever happens to the stream, each watcher is created again from the revision
 * after the last one that it was given, so that it misses nothing and sees nothing twice.
 */
export class WatchStream {
  readonly #endpoints: Endpoints;
  readonly #wire: EtcdWire;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #watchers = new Set<Watcher>();
  readonly #closing = new AbortController();
  #requests: Queue<Request> | undefined;
  #running: Promise<void> | undefined;
  #lastId = 0;

  constructor(endpoints: Endpoints, wire: EtcdWire, clock: Clock, logger: Logger) {
    this.#endpoints = endpoints;
    this.#wire = wire;
    this.#clock = clock;
    this.#logger = logger;
  }

  watch(options: WatchOptions): AsyncIterable<WatchBatch> {
    const watcher: Watcher = {
      range: this.#wire.range(options),
      next: options.fromRevision ?? 0,
      id: undefined,
      stands: false,
      queue: new Queue(queueLimit),
    };
    if (options.signal?.aborted || this.#closing.signal.aborted) watcher.queue.end();
    else {
      this.#watchers.add(watcher);
      this.#begin(watcher);
      this.#running ??= this.#run();
    }
    const onAbort = (): void => void watcher.queue.return();
    options.signal?.addEventListener('abort', onAbort, { once: true });
    watcher.queue.onEnd(() => {
      options.signal?.removeEventListener('abort', onAbort);
      this.#watchers.delete(watcher);
      this.#stop(watcher);
    });
    return this.#deliver(watcher);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const { queue } of this.#watchers) queue.end();
    this.#requests?.end();
    await this.#running;
  }

  async *#deliver(watcher: Watcher): AsyncGenerator<WatchBatch> {
    try {
      for await (const batch of watcher.queue) {
        yield batch;
        if (watcher.id === undefined && watcher.queue.size === 0) this.#begin(watcher);
      }
    } finally {
      watcher.queue.end();
    }
  }

  /** Puts it on the open stream; without one it will be when there is one. */
  #begin(watcher: Watcher): void {
    if (this.#requests === undefined || !this.#watchers.has(watcher)) return;
    watcher.id = ++this.#lastId;
    const create = {
      ...watcher.range,
      startRevision: BigInt(watcher.next),
      progressNotify: true,
      watchId: BigInt(watcher.id),
    };
    this.#requests.push({ requestUnion: { case: 'createRequest', value: create } });
  }

  #stop(watcher: Watcher): void {
    if (watcher.id === undefined) return;
    this.#requests?.push({ requestUnion: { case: 'cancelRequest', value: { watchId: BigInt(watcher.id) } } });
    watcher.id = undefined;
  }

  /** One stream after the other, as long as the store is open. */
  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let failures = 0; !signal.aborted;) {
      const endpoint = this.#endpoints.current;
      try {
        await this.#follow(endpoint, () => {
          failures = 0;
        });
        this.#endpoints.leave(endpoint);
      } catch (error) {
        if (!signal.aborted) await this.#lost(endpoint, fromEtcd(error));
      }
      if (signal.aborted) return;
      failures += 1;
      try {
        await this.#clock.sleep(backoff(failures, { baseMs: 50, maxMs: 2_000 }), signal);
      } catch {
        return; // closed while waiting
      }
    }
  }

  /** A member that is gone is left; one that refused a watch is asked for a new token. */
  async #lost(endpoint: Endpoint, error: EruError): Promise<void> {
    this.#logger.warn({ err: error, endpoint: endpoint.address }, 'lost the watch stream of etcd');
    if (error.code !== 'unauthenticated') return this.#endpoints.leave(endpoint);
    try {
      await this.#endpoints.renewToken(endpoint);
    } catch (cause) {
      this.#logger.warn({ err: cause, endpoint: endpoint.address }, 'no watch without a token');
    }
  }

  async #follow(endpoint: Endpoint, onAnswer: () => void): Promise<void> {
    const requests = new Queue<Request>();
    this.#requests = requests;
    try {
      const responses = endpoint.watch.watch(requests, { signal: this.#closing.signal });
      // A slow consumer's watcher stays off the new stream, too, until its queue is empty.
      for (const watcher of this.#watchers) if (watcher.queue.size === 0) this.#begin(watcher);
      for await (const response of responses) {
        // Some versions do not say which watch they refuse so: all begin anew.
        if (response.canceled && refusesWatch(response.cancelReason))
          throw new EruError('unauthenticated', `etcd refused a watch: ${response.cancelReason}`);
        onAnswer();
        const id = Number(response.watchId);
        for (const watcher of this.#watchers) if (watcher.id === id) this.#receive(watcher, response);
      }
    } finally {
      this.#requests = undefined;
      requests.end();
      for (const watcher of this.#watchers) watcher.id = undefined;
    }
  }

  #receive(watcher: Watcher, response: WatchResponse): void {
    const revision = revisionOf(response.header);
    if (response.canceled) return this.#canceled(watcher, response);
    if (response.created) {
      if (watcher.next === 0) watcher.next = revision + 1;
      // Told again after a gap it would be a repeat.
      if (!watcher.stands) watcher.queue.push({ revision: Math.min(watcher.next - 1, revision), events: [] });
      watcher.stands = true;
      return;
    }
    if (response.events.length > 0) {
      for (const batch of this.#batches(response))
        if (batch.revision >= watcher.next && !this.#give(watcher, batch)) return;
      return;
    }
    if (revision >= watcher.next) this.#give(watcher, { revision, events: [] });
  }

  #give(watcher: Watcher, batch: WatchBatch): boolean {
    if (!watcher.queue.push(batch)) {
      this.#stop(watcher);
      return false;
    }
    watcher.next = batch.revision + 1;
    return true;
  }

  #canceled(watcher: Watcher, response: WatchResponse): void {
    watcher.id = undefined;
    this.#watchers.delete(watcher);
    const compacted = Number(response.compactRevision);
    watcher.queue.end(
      compacted > 0
        ? compactedError(watcher.next, compacted)
        : new EruError('failed', `etcd has ended a watch: ${response.cancelReason}`),
    );
  }

  /** etcd sends whole revisions, several at once when it catches up. */
  #batches(response: WatchResponse): WatchBatch[] {
    const batches: WatchBatch[] = [];
    for (const wire of response.events) {
      const event = this.#wire.event(wire);
      const revision = event.type === 'put' ? event.kv.modRevision : event.modRevision;
      const last = batches.at(-1);
      if (last?.revision === revision) last.events.push(event);
      else batches.push({ revision, events: [event] });
    }
    return batches;
  }
}
