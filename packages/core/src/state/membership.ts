import { EruError, isEruError, retry, type Clock, type Logger, type Random } from '@eru/kit';
import { keepLease, type Compare, type HeldLease, type Store } from '@eru/store';
import { setMaxListeners } from 'node:events';

import { keys } from './keys.ts';
import { encode, type CoreRecord, type Owner } from './records.ts';
import type { StoreContact } from './store-contact.ts';
import type { ClusterView } from './view.ts';

/**
 * One stay of this core in the cluster: `cores/<core>` under one lease. Its create revision is the epoch that fences every
 * write of the operations begun in it. When the lease is gone the tenure is over for good; the core begins a new one,
 * under a new name, and takes over what it dropped like any other core.
 */
export interface Tenure {
  readonly owner: Owner;
  /** Aborts when the tenure is over. */
  readonly signal: AbortSignal;
  /** Compare that holds only while the store still has this tenure. */
  readonly fence: Compare;
  /** False past `TTL - margin` without an answer of the store: no effect may be started. */
  held(): boolean;
}

export interface MembershipOptions {
  store: Store;
  contact: StoreContact;
  /** Told when an announcement is written. */
  onWrite: (revision: number) => void;
  clock: Clock;
  random: Random;
  logger: Logger;
  address: string;
  version: string;
  ttlMs: number;
}

/** One core is enough for background work; transactions and fences keep a wrong guess harmless. */
export function isEldest(view: ClusterView, tenure: Tenure): boolean {
  const epochs = [...view.cores].map(([, { createRevision }]) => createRevision);
  return tenure.held() && Math.min(...epochs) === tenure.owner.epoch;
}

/** Keeps this process a member of the cluster, tenure after tenure. */
export class Membership {
  readonly #options: MembershipOptions;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(tenure: Tenure) => void>();
  #address: string;
  #tenure: Tenure | undefined;
  #lease: HeldLease | undefined;

  constructor(options: MembershipOptions) {
    this.#options = options;
    this.#address = options.address;
  }

  /** Registers for the first time; resolves with the tenure. */
  async join(signal: AbortSignal): Promise<Tenure> {
    return this.#begin(signal);
  }

  /** The present tenure; `unavailable` between two, and at once while the store is silent: then nothing could be written. */
  current(): Tenure {
    const reason = this.unfit();
    if (reason !== undefined) throw reason;
    return this.#tenure as Tenure;
  }

  /** Why this core cannot write now. */
  unfit(): EruError | undefined {
    const silence = this.#options.contact.silence();
    if (silence !== undefined) return silence;
    if (this.#tenure?.held() === true) return undefined;
    return new EruError('unavailable', 'this core has lost its lease on the store and is joining anew; try again');
  }

  /**
   * Tells clients and other cores where this core is reached; empty = nowhere. The key keeps its create revision, so the
   * tenure goes on.
   */
  async announce(address: string): Promise<void> {
    if (address === this.#address) return;
    this.#address = address;
    const [tenure, lease] = [this.#tenure, this.#lease];
    if (tenure === undefined || lease === undefined) return; // the next stay begins with it
    const { fence, signal } = tenure;
    const { succeeded, revision } = await this.#options.store.txn({
      compare: [fence],
      then: [{ op: 'put', key: fence.key, value: encode(this.#record()), lease: lease.id }],
      signal,
    });
    if (succeeded) this.#options.onWrite(revision);
  }

  /**
   * The seed of this core's plans: the eldest takes equally good nodes by name, as a plan without a cluster does, and every
   * other in an order of its own. Cores that all went by name would want the same node at the same time, again and again.
   */
  planSeed({ cores }: ClusterView): string {
    const owner = this.#tenure?.owner;
    if (owner === undefined) return '';
    // Its own registration may not have come back yet.
    return [...cores].some(([, { createRevision }]) => createRevision < owner.epoch) ? owner.core : '';
  }

  /** An operation of the present tenure. */
  isMine({ core, epoch }: Owner): boolean {
    return this.#tenure?.owner.core === core && this.#tenure.owner.epoch === epoch;
  }

  onTenure(listener: (tenure: Tenure) => void): void {
    this.#listeners.add(listener);
  }

  /** Leaves at once, so that others need not wait for the lease to end; where the store is away, they have to. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#lease?.release().catch((error: unknown) => {
      if (!isEruError(error, 'unavailable') && !isEruError(error, 'timeout')) throw error;
      this.#options.logger.warn({ err: error }, 'cannot leave the cluster in form; the lease will run out');
    });
  }

  async #begin(signal: AbortSignal): Promise<Tenure> {
    const { store, clock, random, ttlMs, logger } = this.#options;
    const over = new AbortController();
    // Whatever waits in this tenure listens to its end.
    setMaxListeners(0, over.signal);
    const lease = await keepLease(store, {
      ttlMs,
      marginMs: Math.min(2000, ttlMs / 4),
      clock,
      signal: this.#closing.signal,
      onLost: () => {
        over.abort(new EruError('fenced', 'this core has lost its lease'));
        this.#tenure = undefined;
        this.#lease = undefined;
        if (this.#closing.signal.aborted) return;
        logger.error({ core: owner.core }, 'lost the lease on the store: dropping all work and joining anew');
        retry(() => this.#begin(this.#closing.signal), { signal: this.#closing.signal, clock, random }).catch(() => {});
      },
    });
    const owner: Owner = { core: random.hex(16), epoch: 0 };
    const key = keys.core(owner.core);
    try {
      const joined = await store.txn({
        compare: [{ key, target: 'create', op: '=', value: 0 }],
        then: [{ op: 'put', key, value: encode(this.#record()), lease: lease.id }],
        signal,
      });
      if (!joined.succeeded) throw new EruError('exists', `core ${owner.core} is registered already`);
      owner.epoch = joined.revision;
    } catch (error) {
      // Nobody knows whether it is written: its lease must not be kept, or the next attempt would be a second stay.
      await lease.release().catch(() => {});
      throw error;
    }
    this.#options.onWrite(owner.epoch);
    const tenure: Tenure = {
      owner,
      signal: over.signal,
      fence: { key, target: 'create', op: '=', value: owner.epoch },
      held: () => !over.signal.aborted && lease.held(),
    };
    this.#tenure = tenure;
    this.#lease = lease;
    for (const listener of this.#listeners) listener(tenure);
    return tenure;
  }

  #record(): CoreRecord {
    return { v: 1, address: this.#address, version: this.#options.version };
  }
}
