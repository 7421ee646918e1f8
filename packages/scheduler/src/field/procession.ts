import type { Contest } from './field.ts';

/** Nodes that nothing but being taken changes come by in their order, once each. */
export class Procession implements Contest {
  readonly #order: Iterator<number>;
  readonly #admitted: (position: number) => boolean;
  readonly #preparation: Iterable<undefined>;
  #now: IteratorResult<number> | undefined;

  /** `order` is asked only when `preparation` has been run. */
  constructor(order: Iterator<number>, admitted: (position: number) => boolean, preparation: Iterable<undefined> = []) {
    this.#order = order;
    this.#admitted = admitted;
    this.#preparation = preparation;
  }

  prepare(): Iterable<undefined> {
    return this.#preparation;
  }

  get first(): number {
    let now = this.#now ?? this.#order.next();
    while (now.done !== true && !this.#admitted(now.value)) now = this.#order.next();
    this.#now = now;
    return now.done === true ? -1 : now.value;
  }

  drop(position: number): void {
    if (this.#now?.value === position) this.#now = this.#order.next();
  }
}
