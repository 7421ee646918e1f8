/** The last few things that were used; the one that was not used for longest goes first. */
export class Recent<T> {
  readonly #kept: number;
  readonly #items = new Map<string, T>();

  constructor(kept: number) {
    this.#kept = kept;
  }

  /** What is known by this key, else what `make` gives, which is known from now on. */
  get(key: string, make: () => T): T {
    const item = this.#items.get(key) ?? make();
    this.#items.delete(key);
    this.#items.set(key, item);
    if (this.#items.size > this.#kept) this.#items.delete(this.#items.keys().next().value as string);
    return item;
  }

  clear(): void {
    this.#items.clear();
  }
}
