import type { MessageInitShape } from '@eru/contract';
import type { Clock } from '@eru/kit';
import { EruError, Queue, toSafeNumber } from '@eru/kit';

import { callTimeoutMs, type Endpoint } from './etcd-endpoint.ts';
import type { Endpoints } from './etcd-endpoints.ts';
import { fromEtcd, leaseName, leaseNumber } from './etcd-wire.ts';
import type { LeaseKeepAliveRequestSchema } from './gen/etcd_pb.ts';

/** All renewals go through one stream; it is opened when needed and given up at the first sign of trouble. */
export class LeaseStream {
  readonly #endpoints: Endpoints;
  readonly #clock: Clock;
  #stream: OpenStream | undefined;

  constructor(endpoints: Endpoints, clock: Clock) {
    this.#endpoints = endpoints;
    this.#clock = clock;
  }

  async renew(id: string): Promise<{ ttlMs: number }> {
    const lease = leaseNumber(id);
    this.#stream ??= this.#open();
    const stream = this.#stream;
    const answer = new Promise<number>((resolve, reject) => {
      const waiting = stream.waiting.get(id) ?? [];
      waiting.push({ resolve, reject });
      stream.waiting.set(id, waiting);
    });
    const timer = this.#clock.timer(callTimeoutMs, () =>
      this.#giveUp(stream, new EruError('timeout', `etcd has not renewed a lease within ${callTimeoutMs} ms`)),
    );
    stream.requests.push({ ID: lease });
    try {
      const seconds = await answer;
      if (seconds <= 0) throw new EruError('not_found', `lease ${id} has ended`);
      return { ttlMs: seconds * 1000 };
    } finally {
      timer.cancel();
    }
  }

  close(): void {
    if (this.#stream !== undefined) this.#giveUp(this.#stream, new EruError('unavailable', 'the store is closed'));
  }

  #open(): OpenStream {
    const stream: OpenStream = {
      endpoint: this.#endpoints.current,
      requests: new Queue(),
      waiting: new Map(),
    };
    this.#receive(stream).then(
      () => this.#giveUp(stream, new EruError('unavailable', 'etcd has closed the stream of lease renewals')),
      (error: unknown) => this.#giveUp(stream, fromEtcd(error)),
    );
    return stream;
  }

  async #receive(stream: OpenStream): Promise<void> {
    for await (const { ID, TTL } of stream.endpoint.lease.leaseKeepAlive(stream.requests)) {
      // Answers to one lease come in the order of its requests.
      stream.waiting.get(leaseName(ID))?.shift()?.resolve(toSafeNumber(TTL));
    }
  }

  #giveUp(stream: OpenStream, error: EruError): void {
    if (this.#stream !== stream) return;
    this.#stream = undefined;
    this.#endpoints.leave(stream.endpoint);
    stream.requests.end(error);
    for (const waiting of stream.waiting.values()) for (const { reject } of waiting) reject(error);
  }
}

interface OpenStream {
  endpoint: Endpoint;
  requests: Queue<MessageInitShape<typeof LeaseKeepAliveRequestSchema>>;
  waiting: Map<string, { resolve: (seconds: number) => void; reject: (error: EruError) => void }[]>;
}
