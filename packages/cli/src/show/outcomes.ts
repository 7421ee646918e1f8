import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { colorsFor, say } from '../output.ts';

interface Named {
  record?: { id: string; name: string } | undefined;
}

/** Tells of each item as it comes, and what all of them amount to. */
export class Outcomes {
  readonly #context: Context;
  readonly #waiting: Map<string, string>;
  readonly #verb: string;
  #failed = false;

  constructor(context: Context, items: readonly Named[], verb: string) {
    this.#context = context;
    this.#waiting = new Map(items.map(({ record }) => [record?.id ?? '', record?.name ?? '']));
    this.#verb = verb;
  }

  tell(id: string, error: string, hook: Uint8Array = new Uint8Array()): void {
    const name = this.#waiting.get(id) ?? id;
    this.#waiting.delete(id);
    const colors = colorsFor(this.#context.stderr, this.#context.env);
    if (error === '') say(this.#context, `${name} ${this.#verb}`);
    else say(this.#context, colors.red(`${name} failed: ${error}`));
    this.#failed ||= error !== '';
    if (hook.length > 0) say(this.#context, Buffer.from(hook).toString().trimEnd());
  }

  /** An item that nobody told of has not been done. */
  end(): number {
    for (const [id] of this.#waiting) this.tell(id, 'core did not say what became of it', new Uint8Array());
    return this.#failed ? exitCodes.someFailed : exitCodes.ok;
  }
}
