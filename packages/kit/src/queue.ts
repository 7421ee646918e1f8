/**
 * Push on one side, `for await` on the other. Bounded: `push` answers false when the queue is full, and the producer
 * decides (wait for `drained`, drop and count, or end the stream). Leaving the loop ends the queue.
 */
export class Queue<T> implements AsyncIterableIterator<T> {
  readonly #items: T[] = [];
  readonly #limit: number;
  #ended = false;
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #drained: (() => void)[] = [];
  #onEnd: (() => void)[] = [];

  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#items.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** False when the item was not taken: the queue is full or has ended. */
  push(item: T): boolean {
    if (this.#ended || this.#items.length >= this.#limit) return false;
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** Waits for room. False when the queue ended instead. */
  async put(item: T): Promise<boolean> {
    while (!this.#ended && this.#items.length >= this.#limit) await this.drained();
    return this.push(item);
  }

  /** Resolves when there is room, or the queue has ended. */
  drained(): Promise<void> {
    if (this.#ended || this.#items.length < this.#limit) return Promise.resolve();
    return new Promise((resolve) => this.#drained.push(resolve));
  }

  /** No more items; those in the queue are still delivered, then `error` if given. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== undefined) this.#failure = { error };
    this.#wake?.();
    this.#release();
    for (const run of this.#onEnd.splice(0)) run();
  }

  /** Called once when the queue ends, from either side. */
  onEnd(run: () => void): void {
    if (this.#ended) run();
    else this.#onEnd.push(run);
  }

  async next(): Promise<IteratorResult<T>> {
    while (this.#items.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#items.length > 0) {
      const value = this.#items.shift() as T;
      this.#release();
      return { value, done: false };
    }
    if (this.#failure !== undefined) {
      const { error } = this.#failure;
      this.#failure = undefined;
      throw error;
    }
    return { value: undefined, done: true };
  }

  return(): Promise<IteratorResult<T>> {
    this.#items.length = 0;
    this.end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #release(): void {
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}
