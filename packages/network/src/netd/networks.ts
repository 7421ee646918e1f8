import { EruError } from '@eru/kit';
import type { Store } from '@eru/store';

import type { Allocator } from '../ipam/allocator.ts';
import { encode, keys } from '../ipam/records.ts';
import type { NetworkDefinition } from './network-definition.ts';

interface NetworkRecord {
  readonly definition: NetworkDefinition;
}

/** The networks that are defined in the store, the same on all nodes. */
export class Networks {
  readonly #store: Store;
  readonly #allocator: Allocator;

  constructor(store: Store, allocator: Allocator) {
    this.#store = store;
    this.#allocator = allocator;
  }

  find(name: string): NetworkDefinition | undefined {
    return this.#allocator.view.get<NetworkRecord>(keys.network(name))?.definition;
  }

  list(): NetworkDefinition[] {
    return this.#allocator.view.list<NetworkRecord>(`${keys.root}networks/`).map(([, { definition }]) => definition);
  }

  /** @throws EruError `not_found` that says which there are */
  wanted(name: string): NetworkDefinition {
    const found = this.find(name);
    if (found !== undefined) return found;
    const known = this.list().map((definition) => definition.name);
    throw new EruError(
      'not_found',
      `there is no network ${name}; there are: ${known.toSorted().join(', ') || 'none; make one with: eru net create NAME --subnet 10.8.0.0/24'}`,
    );
  }

  async put(definition: NetworkDefinition, signal?: AbortSignal): Promise<void> {
    const { name, pools } = definition;
    const absent = pools.find((pool) => this.#allocator.view.pool(pool) === undefined);
    if (absent !== undefined)
      throw new EruError('not_found', `network ${name}: there is no pool ${absent}; put it first`);
    const record: NetworkRecord = { definition };
    const value = encode(record);
    const { revision } = await this.#store.txn({
      then: [{ op: 'put', key: keys.network(name), value }],
      ...given(signal),
    });
    this.#allocator.view.apply(keys.network(name), value, revision);
  }

  async remove(name: string, signal?: AbortSignal): Promise<void> {
    const user = this.#allocator.view.reservations().find(({ network }) => network === name);
    if (user !== undefined)
      throw new EruError('precondition', `network ${name}: ${user.owner} holds an address on it; release it first`);
    const key = keys.network(name);
    const { revision } = await this.#store.txn({ then: [{ op: 'delete', range: { key } }], ...given(signal) });
    this.#allocator.view.apply(key, undefined, revision);
  }
}

function given(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
