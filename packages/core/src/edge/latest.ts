/**
 * A stream that holds one item for each key: what comes for a key that is still waiting replaces it. A reader that lags gets
 * the newest of everything, and its backlog is bounded by the number of keys; past `limit` keys the stream ends.
 */
export class Latest<T> implements AsyncIterableIterator<T> {
  readonly #waiting = new Map<string, T>();
  readonly #limit: number;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  set(key: string, item: T): void {
    if (this.#ended) return;
    // The newest word on a key goes to the end: order among keys is the order of their last change.
    this.#waiting.delete(key);
    if (this.#waiting.size >= this.#limit) return this.end();
    this.#waiting.set(key, item);
    this.#wake?.();
  }

  /** Ends at once; what is waiting is dropped. */
  end(): void {
    this.#ended = true;
    this.#waiting.clear();
    this.#wake?.();
  }

  async next(): Promise<IteratorResult<T>> {
    while (this.#waiting.size === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    for (const [key, value] of this.#waiting) {
      this.#waiting.delete(key);
      return { value, done: false };
    }
    return { value: undefined, done: true };
  }

  return(): Promise<IteratorResult<T>> {
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
