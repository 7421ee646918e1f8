import type { Channel, Client } from '@eru/contract';
import { client, connect } from '@eru/contract';
import type { EruError, Logger } from '@eru/kit';
import { invalid } from '@eru/kit';

import { fromEtcd } from './etcd-wire.ts';
import { KV, Lease, Watch } from './gen/etcd_pb.ts';

/** Every unary call ends within this; a frozen server must not hold its caller. */
export const callTimeoutMs = 5_000;

export interface Endpoint {
  address: string;
  channel: Channel;
  kv: Client<typeof KV>;
  lease: Client<typeof Lease>;
  watch: Client<typeof Watch>;
}

/** The members of one etcd cluster. All calls go to one of them until it fails, then to the next. */
export class Endpoints {
  readonly #all: Endpoint[];
  readonly #logger: Logger;
  #current = 0;

  constructor(addresses: readonly string[], logger: Logger) {
    if (addresses.length === 0) throw invalid('endpoints', '', 'give at least one HOST:PORT');
    this.#logger = logger;
    this.#all = addresses.map((address) => {
      const channel = connect(address, {
        timeoutMs: callTimeoutMs,
        // etcd allows pings no closer than 5 s.
        keepaliveMs: 10_000,
        // A member that is cut off from the others refuses, where it would otherwise keep a watch that hears nothing.
        credentials: { hasleader: 'true' },
      });
      return {
        address,
        channel,
        kv: client(KV, channel),
        lease: client(Lease, channel),
        watch: client(Watch, channel),
      };
    });
  }

  get current(): Endpoint {
    return this.#all[this.#current] as Endpoint;
  }

  /**
   * Calls the present member. A read that finds it silent asks each of the others once; a write is never sent twice: it
   * may have happened, and only the caller can find out.
   */
  async call<T>(kind: 'read' | 'write', send: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried++) {
      const endpoint = this.current;
      try {
        return await send(endpoint);
      } catch (error) {
        const known = fromEtcd(error);
        if (!isSilence(known)) throw known;
        this.leave(endpoint);
        if (kind === 'write' || tried >= this.#all.length) throw known;
      }
    }
  }

  /** Turns to the next member, unless somebody has done so already. */
  leave(endpoint: Endpoint): void {
    if (this.current !== endpoint || this.#all.length === 1) return;
    this.#current = (this.#current + 1) % this.#all.length;
    this.#logger.warn(
      { from: endpoint.address, to: this.current.address },
      'an etcd member does not answer; turning to the next',
    );
  }

  close(): void {
    for (const { channel } of this.#all) channel.close();
  }
}

function isSilence(error: EruError): boolean {
  return error.code === 'unavailable' || error.code === 'timeout';
}
