/**
 * The last `limit` items of a growing sequence, numbered from 0, for any number of readers, each at its own pace. A
 * reader holds nobody back: who falls behind finds `first` beyond its position.
 */
export class Ring<T> {
  readonly #limit: number;
  readonly #items: T[] = [];
  #first = 0;
  #ended = false;
  #waiting: (() => void)[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of the oldest item that is kept. */
  get first(): number {
    return this.#first;
  }

  /** Number that the next item gets. */
  get next(): number {
    return this.#first + this.#items.length;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(item: T): void {
    this.#items.push(item);
    if (this.#items.length > this.#limit) {
      this.#items.shift();
      this.#first += 1;
    }
    this.#wake();
  }

  /** The kept items from number `from` on. */
  since(from: number): T[] {
    return this.#items.slice(Math.max(0, from - this.#first));
  }

  /** No more items will come. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Resolves when there is an item numbered `from` or more, or the ring has ended; rejects when aborted. */
  async grown(from: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.next > from || this.#ended) return;
    await new Promise<void>((resolve, reject) => {
      const done = (): void => {
        signal.removeEventListener('abort', aborted);
        resolve();
      };
      const aborted = (): void => {
        this.#waiting = this.#waiting.filter((waiting) => waiting !== done);
        // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- an abort is passed on as it is
        reject(signal.reason);
      };
      signal.addEventListener('abort', aborted, { once: true });
      this.#waiting.push(done);
    });
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
