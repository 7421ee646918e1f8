import { issueCertificate, renewalDueMs, type KeyPair } from '@eru/contract';
import { EruError, retry, type Clock, type Logger, type Random } from '@eru/kit';

import { certificateLifeMs, validFor } from './certificate-life.ts';
import type { AuthorityRecord } from '../state/records.ts';
import type { ClusterView } from '../state/view.ts';

/** How often it is looked whether a certificate is due: a clock may be set, and a machine may sleep. */
const lookEveryMs = 3_600_000;

/** A certificate of this core, as PEM, with the authority that it is of. */
export interface OwnCertificate extends KeyPair {
  readonly authority: string;
}

/**
 * The certificate of this core, both to serve with and to show to node daemons. Each core makes its own, keeps it in memory
 * and makes the next one in time. There is none before the cluster has an authority.
 */
export class CoreCertificates {
  readonly #view: ClusterView;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #logger: Logger;
  readonly #hosts: readonly string[];
  readonly #listeners = new Set<(own: OwnCertificate) => void>();
  #own: (OwnCertificate & { dueMs: number }) | undefined;
  #making: Promise<void> | undefined;

  constructor(options: {
    view: ClusterView;
    clock: Clock;
    random: Random;
    logger: Logger;
    /** Names and addresses that this core may be called by. */
    hosts: readonly string[];
  }) {
    this.#view = options.view;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#logger = options.logger;
    this.#hosts = options.hosts;
  }

  /** Has one whenever there is an authority, until `signal` aborts. Resolves when that is so for the first time. */
  async start(signal: AbortSignal): Promise<void> {
    const unsubscribe = this.#view.subscribe(({ table }) => {
      if (table === 'authority') void this.ready(signal).catch(() => {}); // told below
    });
    signal.addEventListener('abort', unsubscribe, { once: true });
    await this.ready(signal);
    void this.#renew(signal);
  }

  /** `unavailable` while there is none. */
  current(): OwnCertificate {
    if (this.#own !== undefined) return this.#own;
    throw new EruError('unavailable', 'this core has no certificate yet; try again');
  }

  /** Resolves when there is one for the authority that is known now, if one is. */
  ready(signal: AbortSignal): Promise<void> {
    if (this.#view.authority.get('') === undefined) return Promise.resolve();
    this.#making ??= retry(() => this.#make(signal), {
      signal,
      clock: this.#clock,
      random: this.#random,
      attempts: 5,
    })
      .catch((error: unknown) => {
        if (!signal.aborted) this.#logger.error({ err: error }, 'the certificate of this core cannot be made');
        throw error;
      })
      .finally(() => (this.#making = undefined));
    return this.#making;
  }

  /** Told of every later one. */
  onRenewal(listener: (own: OwnCertificate) => void): void {
    this.#listeners.add(listener);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#clock.sleep(lookEveryMs, signal).catch(() => {});
      if (signal.aborted || this.#own === undefined || this.#clock.now() < this.#own.dueMs) continue;
      await this.ready(signal).catch(() => {}); // logged; the next look comes in time
    }
  }

  async #make(signal: AbortSignal): Promise<void> {
    const authority: AuthorityRecord | undefined = this.#view.authority.get('')?.value;
    if (authority === undefined) return;
    const own = this.#own;
    if (own !== undefined && own.authority === authority.cert && this.#clock.now() < own.dueMs) return;
    const made = await issueCertificate(authority, {
      name: `core:${this.#random.hex(12)}`,
      hosts: this.#hosts,
      usage: 'both',
      ...validFor(this.#clock, certificateLifeMs),
    });
    if (signal.aborted) return;
    this.#own = { ...made, authority: authority.cert, dueMs: renewalDueMs(made.cert) };
    if (own !== undefined) this.#logger.info({}, 'the certificate of this core is renewed');
    for (const listener of this.#listeners) listener(this.#own);
  }
}
