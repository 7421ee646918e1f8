/** How many changes are remembered: a reader that is further behind looks at everything. */
const remembered = 2 ** 16;

/** Which slots changed, in order: a ring of the last ones. */
export class ChangeLog {
  /** Grows by one with every change. */
  version = 0;
  readonly #slots = new Int32Array(remembered);

  add(slot: number): void {
    this.#slots[this.version % remembered] = slot;
    this.version += 1;
  }

  /** The slots that changed after this version, some of them more than once; `undefined` when that is forgotten. */
  since(version: number): number[] | undefined {
    if (this.version - version > remembered) return undefined;
    const slots: number[] = [];
    for (let at = version; at < this.version; at += 1) slots.push(this.#slots[at % remembered] as number);
    return slots;
  }
}
