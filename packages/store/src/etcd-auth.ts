import { EruError, isEruError, type Logger } from '@eru/kit';

import type { Endpoint } from './etcd-endpoint.ts';
import { fromEtcd } from './etcd-wire.ts';

export interface EtcdCredential {
  username: string;
  password: string;
}

/**
 * The token that etcd gives for a user and password. It lapses when it is not used for a while and with a restart of the
 * server, so it is fetched when a call is refused for want of one, not by a clock.
 */
export class Token {
  readonly #credential: EtcdCredential;
  readonly #logger: Logger;
  #renewal: Promise<void> | undefined;

  constructor(credential: EtcdCredential, logger: Logger) {
    this.#credential = credential;
    this.#logger = logger;
  }

  /** Fetches a new one through `endpoint`, for all members; calls that come meanwhile wait for the same. */
  renew(endpoint: Endpoint, all: readonly Endpoint[]): Promise<void> {
    this.#renewal ??= this.#fetch(endpoint, all).finally(() => {
      this.#renewal = undefined;
    });
    return this.#renewal;
  }

  async #fetch(endpoint: Endpoint, all: readonly Endpoint[]): Promise<void> {
    const { username, password } = this.#credential;
    const setToken = (token: string | undefined): void => {
      for (const { channel } of all) channel.setCredential('token', token);
    };
    setToken(undefined); // etcd refuses to give a new token to a call that carries a lapsed one
    try {
      const { token } = await endpoint.auth.authenticate({ name: username, password });
      setToken(token);
      this.#logger.debug({ endpoint: endpoint.address }, 'etcd gave a new token');
    } catch (error) {
      const known = fromEtcd(error);
      if (!isEruError(known, 'unauthenticated')) throw known;
      throw new EruError('unauthenticated', `etcd refuses user ${JSON.stringify(username)}: ${known.message}`, {
        cause: error,
      });
    }
  }
}

/** Whether etcd refused a call for its token: none, one that lapsed, or one from before a change of users or roles. */
export function wantsToken({ message }: EruError): boolean {
  return tokenTexts.some((text) => message.includes(text));
}

/** A watch that comes with a lapsed token is told that it is not permitted. */
export function refusesWatch(reason: string): boolean {
  return [...tokenTexts, 'permission denied'].some((text) => reason.includes(text));
}

const tokenTexts = ['invalid auth token', 'user name is empty', 'revision of auth store is old'];
