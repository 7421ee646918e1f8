import { EruError, isEruError, type Clock } from '@eru/kit';
import type { Store } from '@eru/store';

/** One finished call of the store. `error` absent: it answered. */
export interface StoreCall {
  verb: string;
  seconds: number;
  error?: unknown;
}

const verbs: ReadonlySet<string | symbol> = new Set([
  'get',
  'range',
  'txn',
  'grantLease',
  'renewLease',
  'revokeLease',
  'compact',
]);

/**
 * What a core knows of its store from the calls that it makes anyway: the renewal of its lease, every third of its life, is
 * the least of them. A refusal is an answer; only silence is not.
 */
export class StoreContact {
  /** The same store, with every call seen here. */
  readonly store: Store;
  readonly #clock: Clock;
  readonly #silentAfterMs: number;
  readonly #onCall: (call: StoreCall) => void;
  readonly #listeners = new Set<(sentAtMs: number) => void>();
  /** When the last request that was answered was sent: monotonic, and on the wall. */
  #answeredAtMs: number;
  #answeredAt: number;

  constructor(options: { store: Store; clock: Clock; silentAfterMs: number; onCall: (call: StoreCall) => void }) {
    this.#clock = options.clock;
    this.#silentAfterMs = options.silentAfterMs;
    this.#onCall = options.onCall;
    this.#answeredAtMs = this.#clock.monotonic();
    this.#answeredAt = this.#clock.now();
    this.store = this.#seen(options.store);
  }

  get silentMs(): number {
    return this.#clock.monotonic() - this.#answeredAtMs;
  }

  /** Why nothing can be written now; undefined while the store answers. */
  silence(): EruError | undefined {
    if (this.silentMs <= this.#silentAfterMs) return undefined;
    const since = new Date(this.#answeredAt).toISOString();
    return new EruError(
      'unavailable',
      `the store has not answered since ${since}: nothing can be changed until it does; what was known then can be read`,
      { details: { storeSilentSince: since } },
    );
  }

  /** Told of each answer, with the time at which its request was sent; monotonic. */
  onAnswer(listener: (sentAtMs: number) => void): void {
    this.#listeners.add(listener);
  }

  #seen(store: Store): Store {
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (!verbs.has(name)) return value.bind(target) as unknown;
        return async (...args: unknown[]): Promise<unknown> => {
          const [sentAtMs, sentAt] = [this.#clock.monotonic(), this.#clock.now()];
          const ended = (error?: unknown): void => {
            if (isAnswer(error)) this.#answered(sentAtMs, sentAt);
            const seconds = (this.#clock.monotonic() - sentAtMs) / 1000;
            this.#onCall({ verb: String(name), seconds, ...(error !== undefined && { error }) });
          };
          try {
            const result: unknown = await Reflect.apply(value, target, args);
            ended();
            return result;
          } catch (error) {
            ended(error);
            throw error;
          }
        };
      },
    });
  }

  #answered(sentAtMs: number, sentAt: number): void {
    if (sentAtMs > this.#answeredAtMs) [this.#answeredAtMs, this.#answeredAt] = [sentAtMs, sentAt];
    for (const listener of this.#listeners) listener(sentAtMs);
  }
}

const answers = ['not_found', 'compacted', 'too_large', 'exists', 'conflict'] as const;

function isAnswer(error: unknown): boolean {
  return error === undefined || answers.some((code) => isEruError(error, code));
}
