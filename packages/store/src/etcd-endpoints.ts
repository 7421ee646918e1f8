import type { ClientTls } from '@eru/contract';
import type { EruError, Logger } from '@eru/kit';
import { invalid } from '@eru/kit';

import { Token, wantsToken, type EtcdCredential } from './etcd-auth.ts';
import { connectEndpoint, type Endpoint } from './etcd-endpoint.ts';
import { fromEtcd } from './etcd-wire.ts';

export interface EndpointsOptions {
  /** `HOST:PORT` of the members. */
  addresses: readonly string[];
  credential?: EtcdCredential;
  tls?: ClientTls;
  logger: Logger;
}

/** The members of one etcd cluster. All calls go to one of them until it fails, then to the next. */
export class Endpoints {
  readonly #all: Endpoint[];
  readonly #logger: Logger;
  readonly #token: Token | undefined;
  #current = 0;

  constructor({ addresses, credential, tls, logger }: EndpointsOptions) {
    if (addresses.length === 0) throw invalid('endpoints', '', 'give at least one HOST:PORT');
    this.#logger = logger;
    this.#token = credential && new Token(credential, logger);
    this.#all = addresses.map((address) => connectEndpoint(address, tls));
  }

  get current(): Endpoint {
    return this.#all[this.#current] as Endpoint;
  }

  /**
   * Calls the present member. A read that finds it silent asks each of the others once; a write is never sent twice: it
   * may have happened, and only the caller can find out. What was refused for its token has not happened.
   */
  async call<T>(kind: 'read' | 'write', send: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    let renewed = false;
    for (let silent = 0; ;) {
      const endpoint = this.current;
      try {
        return await send(endpoint);
      } catch (error) {
        const known = fromEtcd(error);
        if (!renewed && wantsToken(known) && (await this.renewToken(endpoint))) {
          renewed = true;
          continue;
        }
        if (!isSilence(known)) throw known;
        this.leave(endpoint);
        silent += 1;
        if (kind === 'write' || silent >= this.#all.length) throw known;
      }
    }
  }

  /** Fetches a new token for later calls; false without a user. Throws when etcd refuses the user. */
  async renewToken(endpoint: Endpoint): Promise<boolean> {
    await this.#token?.renew(endpoint, this.#all);
    return this.#token !== undefined;
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
