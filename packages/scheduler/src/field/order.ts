/** `true` when a comes before b. A total order over positions: what is equal in all else the position settles. */
export type Before = (a: number, b: number) => boolean;

/** A binary heap of numbers. The order may change for the top alone, if `settleTop` is called after it. */
export class Heap {
  readonly #items: number[] = [];
  readonly #before: Before;

  constructor(before: Before) {
    this.#before = before;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The first of all; only of a heap that is not empty. */
  get top(): number {
    return this.#items[0] as number;
  }

  push(item: number): void {
    const items = this.#items;
    let hole = items.length;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = items[parent] as number;
      if (!this.#before(item, above)) break;
      items[hole] = above;
      hole = parent;
    }
    items[hole] = item;
  }

  pop(): number {
    const top = this.top;
    const last = this.#items.pop() as number;
    if (this.#items.length > 0) this.#sink(last);
    return top;
  }

  settleTop(): void {
    this.#sink(this.top);
  }

  #sink(item: number): void {
    const items = this.#items;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1] as number, items[child] as number)) child += 1;
      if (!this.#before(items[child] as number, item)) break;
      items[hole] = items[child] as number;
      hole = child;
    }
    items[hole] = item;
  }
}
