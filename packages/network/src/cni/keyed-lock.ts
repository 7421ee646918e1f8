/** Turns by key: many who share, or one alone, in the order in which they came. */
export class KeyedLock {
  readonly #queues = new Map<string, { alone: boolean; wake: () => void }[]>();
  readonly #holders = new Map<string, { count: number; alone: boolean }>();

  exclusive<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#hold(key, true, work);
  }

  shared<T>(key: string, work: () => Promise<T>): Promise<T> {
    return this.#hold(key, false, work);
  }

  async #hold<T>(key: string, alone: boolean, work: () => Promise<T>): Promise<T> {
    const queue = this.#queues.get(key);
    const holder = this.#holders.get(key);
    if (holder === undefined) this.#holders.set(key, { count: 1, alone });
    else if (!alone && !holder.alone && queue === undefined) holder.count += 1;
    else {
      await new Promise<void>((wake) => {
        const waiting = { alone, wake };
        if (queue === undefined) this.#queues.set(key, [waiting]);
        else queue.push(waiting);
      });
    }
    try {
      return await work();
    } finally {
      this.#leave(key);
    }
  }

  /** Lets the next in: one who wants to be alone, or all who share before the next such. They hold it from here on. */
  #leave(key: string): void {
    const holder = this.#holders.get(key);
    if (holder === undefined) return;
    holder.count -= 1;
    if (holder.count > 0) return;
    const queue = this.#queues.get(key) ?? [];
    if (queue.length === 0) {
      this.#holders.delete(key);
      return;
    }
    const alone = queue[0]?.alone === true;
    const until = alone ? 1 : queue.findIndex((waiting) => waiting.alone);
    const next = queue.splice(0, until === -1 ? queue.length : until);
    if (queue.length === 0) this.#queues.delete(key);
    this.#holders.set(key, { count: next.length, alone });
    for (const { wake } of next) wake();
  }
}
