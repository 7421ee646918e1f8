import { isJsonObject, type Json, type JsonObject } from '@eru/kit';
import { failure, type CallName } from './failure.ts';
import { field } from './wire.ts';

/**
 * An answer as it is read: field names in any case, unknown ones ignored, absent ones empty; what is there must be what it
 * should be. @throws EruError reason `garbage` or `lie`
 */
export class Answer {
  readonly #call: CallName;
  readonly #value: Json;
  readonly #path: string;

  private constructor(call: CallName, value: Json, path: string) {
    this.#call = call;
    this.#value = value;
    this.#path = path;
  }

  /** Nothing and `null` are answers: the empty ones. */
  static parse(call: CallName, text: string): Answer {
    if (text.trim() === '') return new Answer(call, null, '');
    try {
      return new Answer(call, JSON.parse(text) as Json, '');
    } catch (error) {
      throw failure(call, 'garbage', `bad JSON (${(error as Error).message})`, excerpt(text), error);
    }
  }

  field(name: string): Answer {
    const value = field(this.object(), name);
    return new Answer(this.#call, value ?? null, this.#path === '' ? name : `${this.#path}.${name}`);
  }

  object(): JsonObject {
    if (this.#value === null) return {};
    if (!isJsonObject(this.#value)) throw this.lie('an object');
    return this.#value;
  }

  /** An object of things by name. */
  entries(): [name: string, Answer][] {
    return Object.entries(this.object()).map(([name, value]) => [
      name,
      new Answer(this.#call, value, `${this.#path}[${JSON.stringify(name)}]`),
    ]);
  }

  list(length?: number): Answer[] {
    const value = this.#value ?? [];
    if (!Array.isArray(value)) throw this.lie('a list');
    if (length !== undefined && value.length !== length)
      throw this.lie(`a list of ${length}`, `a list of ${value.length}`);
    return value.map((element, index) => new Answer(this.#call, element, `${this.#path}[${index}]`));
  }

  text(): string {
    const value = this.#value ?? '';
    if (typeof value !== 'string') throw this.lie('text');
    return value;
  }

  /** At least 0. */
  amount(): number {
    const value = this.#value ?? 0;
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw this.lie('a number of at least 0');
    return value;
  }

  /** A whole number of at least 0; what 64 bits hold at most is `Infinity`. */
  count(): number {
    const value = this.amount();
    if (!Number.isInteger(value)) throw this.lie('a whole number');
    return value >= 2 ** 63 ? Infinity : value;
  }

  integer(): number {
    const value = this.#value ?? 0;
    if (typeof value !== 'number' || !Number.isInteger(value)) throw this.lie('a whole number');
    return value;
  }

  lie(expected: string, got = excerpt(JSON.stringify(this.#value))): Error {
    return failure(
      this.#call,
      'lie',
      `${this.#path === '' ? 'the answer' : this.#path} should be ${expected}, and is ${got}`,
    );
  }
}

function excerpt(text: string): string {
  return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
}
