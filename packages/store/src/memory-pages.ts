import type { ByteKey } from './key-order.ts';
import type { PageWriter, Pages } from './pages.ts';

/** For simulations and tests: no disk, no time, the same order for the same program. */
export function openMemoryPages(): Pages {
  const map = new SortedMap();
  return {
    read: (body) => body(map),
    write: async (body) => ({ value: body(map), durable: Promise.resolve() }),
    close: () => Promise.resolve(),
  };
}

const chunkLimit = 512;

/** Sorted chunks of bounded size, so that an insert in the middle moves little. */
class SortedMap implements PageWriter {
  readonly #values = new Map<ByteKey, Uint8Array>();
  readonly #chunks: ByteKey[][] = [[]];

  get(key: ByteKey): Uint8Array | undefined {
    return this.#values.get(key);
  }

  put(key: ByteKey, value: Uint8Array): void {
    const known = this.#values.has(key);
    this.#values.set(key, value);
    if (known) return;
    const number = this.#chunkOf(key);
    const chunk = this.#chunks[number] as ByteKey[];
    chunk.splice(lowerBound(chunk, key), 0, key);
    if (chunk.length > chunkLimit) this.#chunks.splice(number + 1, 0, chunk.splice(chunkLimit / 2));
  }

  remove(key: ByteKey): void {
    if (!this.#values.delete(key)) return;
    const number = this.#chunkOf(key);
    const chunk = this.#chunks[number] as ByteKey[];
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0 && this.#chunks.length > 1) this.#chunks.splice(number, 1);
  }

  *scan(start: ByteKey, end: ByteKey | undefined): Iterable<[ByteKey, Uint8Array]> {
    for (let number = this.#chunkOf(start); number < this.#chunks.length; number++) {
      const chunk = this.#chunks[number] as ByteKey[];
      for (let index = lowerBound(chunk, start); index < chunk.length; index++) {
        const key = chunk[index] as ByteKey;
        if (end !== undefined && key >= end) return;
        yield [key, this.#values.get(key) as Uint8Array];
      }
    }
  }

  /** The last chunk that begins at or before `key`. */
  #chunkOf(key: ByteKey): number {
    let low = 0;
    let high = this.#chunks.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (((this.#chunks[middle] as ByteKey[])[0] as ByteKey) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function lowerBound(keys: readonly ByteKey[], key: ByteKey): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((keys[middle] as ByteKey) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
