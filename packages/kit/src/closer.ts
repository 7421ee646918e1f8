/** Owns what was opened and closes it in reverse order; one failure does not keep the rest open. */
export class Closer implements AsyncDisposable {
  readonly #owned: { name: string; close: () => unknown }[] = [];
  #closing: Promise<void> | undefined;

  /** Registers a clean-up; runs it at once when closing has already begun. */
  add(name: string, close: () => unknown): void {
    if (this.#closing === undefined) this.#owned.push({ name, close });
    else void Promise.resolve(close());
  }

  /** Idempotent. Throws an AggregateError that names who failed. */
  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeAll(): Promise<void> {
    const errors: Error[] = [];
    for (const { name, close } of this.#owned.toReversed()) {
      try {
        await close();
      } catch (cause) {
        errors.push(new Error(`closing ${name} failed`, { cause }));
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, errors.map((error) => error.message).join('; '));
  }
}
