import { Heap, type Before } from './order.ts';

/**
 * Some of the positions of a field, the first of them at hand. Any of them may come, go, or change its place in O(log n), one at a
 * time: a binary heap that knows where each position stands in it. So an order over 50,000 nodes is kept over plans and mended
 * where something changed, not made anew.
 */
export class Ranking {
  readonly #items: number[] = [];
  /** By position: where it stands in `#items`, -1 = nowhere. */
  #places: Int32Array;
  readonly #before: Before;

  /** `places`: all -1, by position; rankings that never hold the same position may share one that is long enough. */
  constructor(before: Before, places: Int32Array) {
    this.#before = before;
    this.#places = places;
  }

  /** -1 when there is none. */
  get first(): number {
    return this.#items[0] ?? -1;
  }

  /** Comes in, or moves to where it belongs now. */
  put(position: number): void {
    const items = this.#items;
    if (position >= this.#places.length) this.#lengthen(position);
    let place = this.#places[position] as number;
    if (place < 0) {
      place = items.length;
      items.push(position);
    }
    if (!this.#rise(place, position)) this.#sink(place, position);
  }

  remove(position: number): void {
    const place = this.#places[position] ?? -1;
    if (place < 0) return;
    this.#places[position] = -1;
    const last = this.#items.pop() as number;
    if (last !== position && !this.#rise(place, last)) this.#sink(place, last);
  }

  /**
   * The first `limit` in order, without touching the ranking: a search from the root, in O(limit log limit). The order must
   * not change meanwhile.
   */
  *inOrder(limit: number = Infinity): Generator<number, void, undefined> {
    const items = this.#items;
    if (items.length === 0) return;
    const frontier = new Heap((a, b) => this.#before(items[a] as number, items[b] as number));
    frontier.push(0);
    for (let given = 0; given < limit && frontier.size > 0; given += 1) {
      const place = frontier.pop();
      const below = 2 * place + 1;
      if (below < items.length) frontier.push(below);
      if (below + 1 < items.length) frontier.push(below + 1);
      yield items[place] as number;
    }
  }

  #lengthen(position: number): void {
    const places = new Int32Array(2 * position).fill(-1);
    places.set(this.#places);
    this.#places = places;
  }

  /** From `hole` up; false when it stays there. */
  #rise(hole: number, position: number): boolean {
    const [items, places] = [this.#items, this.#places];
    let place = hole;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      const above = items[parent] as number;
      if (!this.#before(position, above)) break;
      items[place] = above;
      places[above] = place;
      place = parent;
    }
    if (place === hole) return false;
    items[place] = position;
    places[position] = place;
    return true;
  }

  #sink(hole: number, position: number): void {
    const [items, places] = [this.#items, this.#places];
    let place = hole;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && this.#before(items[child + 1] as number, items[child] as number)) child += 1;
      const below = items[child] as number;
      if (!this.#before(below, position)) break;
      items[place] = below;
      places[below] = place;
      place = child;
    }
    items[place] = position;
    places[position] = place;
  }
}
