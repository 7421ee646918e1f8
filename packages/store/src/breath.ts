/** What an answer sets off takes up to some milliseconds; so many of them in one turn of the event loop hold nobody up. */
const perTurn = 4;

/**
 * Answers of many calls come in one packet, and what they set off would all run before anything else does. Of those who await
 * `taken` some go on in each turn of the event loop, in the order in which they came; where there are few, all at once.
 */
export class Breath {
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  async taken(): Promise<void> {
    if (this.#taken === 0) setImmediate(() => this.#turn());
    this.#taken += 1;
    if (this.#taken > perTurn) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #turn(): void {
    const released = this.#waiting.splice(0, perTurn);
    this.#taken = released.length + this.#waiting.length;
    if (this.#taken > 0) setImmediate(() => this.#turn());
    for (const resolve of released) resolve();
  }
}
