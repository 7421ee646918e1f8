import type { Logger } from '@eru/kit';
import type { Store, TxnOp } from '@eru/store';

/** A record as the store had it. */
export interface CachedRecord {
  key: string;
  value: Uint8Array;
  revision: number;
}

const prefix = 'view/';
/** Of one local transaction. */
const batch = 100;

/** A node's own copy of the network's records, for a start while the cluster's store is silent. It may be old, and is never believed against the store. */
export class ViewCache {
  readonly #local: Store;
  readonly #logger: Logger;
  readonly #pending = new Map<string, { value: Uint8Array; revision: number } | undefined>();
  #writing: Promise<void> | undefined;

  constructor(local: Store, logger: Logger) {
    this.#local = local;
    this.#logger = logger;
  }

  async read(): Promise<CachedRecord[]> {
    const { kvs } = await this.#local.range({ prefix });
    return kvs.map(({ key, value }) => {
      const text = Buffer.from(value).toString('utf8');
      const space = text.indexOf(' ');
      return {
        key: key.slice(prefix.length),
        value: Buffer.from(text.slice(space + 1)),
        revision: Number(text.slice(0, space)),
      };
    });
  }

  /** Written soon; who reads it after a crash sees it a little older. */
  note(key: string, value: Uint8Array | undefined, revision: number): void {
    this.#pending.set(key, value === undefined ? undefined : { value, revision });
    this.#writing ??= this.#write()
      .catch((error: unknown) => this.#logger.warn({ err: error }, "the node's copy of the network is not written"))
      .finally(() => {
        this.#writing = undefined;
      });
  }

  /** Resolves when everything noted is on disk. */
  async settled(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
  }

  async #write(): Promise<void> {
    // What comes in the same turn goes together.
    await Promise.resolve();
    while (this.#pending.size > 0) {
      const some = [...this.#pending].slice(0, batch);
      for (const [key] of some) this.#pending.delete(key);
      const then = some.map(([key, record]): TxnOp =>
        record === undefined
          ? { op: 'delete', range: { key: prefix + key } }
          : {
              op: 'put',
              key: prefix + key,
              value: Buffer.from(`${record.revision} ${Buffer.from(record.value).toString('utf8')}`),
            },
      );
      await this.#local.txn({ then });
    }
  }
}
