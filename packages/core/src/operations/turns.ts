/**
 * Takes turns among the operations of this process on the same names, so that they do not lose optimistic
 * transactions against each other. It is about speed only: what keeps the store right is the transaction.
 */
export class Turns {
  /** Name -> those who wait for it; the holder is not in the list. */
  readonly #waiting = new Map<string, (() => void)[]>();

  /** Waits for all names, in name order (so that no two wait for each other), and runs `work` holding them. */
  async hold<T>(names: Iterable<string>, work: () => Promise<T>): Promise<T> {
    const wanted = [...new Set(names)].toSorted();
    for (const name of wanted) await this.#take(name);
    try {
      return await work();
    } finally {
      for (const name of wanted.toReversed()) this.#give(name);
    }
  }

  #take(name: string): Promise<void> {
    const queue = this.#waiting.get(name);
    if (queue === undefined) {
      this.#waiting.set(name, []);
      return Promise.resolve();
    }
    return new Promise((resolve) => queue.push(resolve));
  }

  #give(name: string): void {
    const next = this.#waiting.get(name)?.shift();
    if (next === undefined) this.#waiting.delete(name);
    else next();
  }
}
