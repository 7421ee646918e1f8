import type { Readable, Writable } from 'node:stream';

/**
 * The messages of a grpc-js call, one at a time: nothing is read ahead beyond the call's own small buffer, so a slow
 * consumer holds the sender back. Ask for the next message only after the last has come.
 */
export class Incoming<T> implements AsyncIterableIterator<T> {
  readonly #call: Readable;
  readonly #leave: () => void;
  #ended = false;
  #dropped = false;
  #failure: { error: unknown } | undefined;
  #waiting: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void } | undefined;

  /** `leave` runs once when the consumer stops before the end. */
  constructor(call: Readable, leave: () => void) {
    this.#call = call;
    this.#leave = leave;
    call.on('readable', () => this.#serve());
    // A reset of the connection looks like an orderly end first; who says "cancelled" a moment later must be heard,
    // or half a file would pass for the whole.
    call.once('end', () => setImmediate(() => this.end()));
    call.once('close', () => this.end());
  }

  /** Those already received are still delivered, then `error` if given. The first end counts. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    if (error !== undefined) this.#failure = { error };
    this.#serve();
  }

  /** Ends at once; what was received and not yet asked for is dropped. */
  abort(error: unknown): void {
    if (this.#ended) return;
    this.#dropped = true;
    this.end(error);
  }

  next(): Promise<IteratorResult<T>> {
    const message = this.#read();
    if (message !== null) return Promise.resolve({ value: message, done: false });
    if (this.#ended) return this.#last();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  return(): Promise<IteratorResult<T>> {
    if (!this.#ended) this.#leave();
    this.#failure = undefined;
    this.abort(undefined);
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #serve(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const message = this.#read();
    if (message === null && !this.#ended) return;
    this.#waiting = undefined;
    if (message !== null) waiting.resolve({ value: message, done: false });
    else this.#last().then(waiting.resolve, waiting.reject);
  }

  #read(): T | null {
    return this.#dropped || this.#call.destroyed ? null : (this.#call.read() as T | null);
  }

  #last(): Promise<IteratorResult<T>> {
    const failure = this.#failure;
    this.#failure = undefined;
    // oxlint-disable-next-line typescript/prefer-promise-reject-errors -- passed on as it was thrown
    return failure === undefined ? Promise.resolve({ value: undefined, done: true }) : Promise.reject(failure.error);
  }
}

/**
 * Writes all of `items`, at the pace of the reader. Stops early, and lets the producer go, once `sink` is closed or
 * `stopped` aborts; a producer that waits at that moment is asked to return at once.
 */
export async function pump(items: AsyncIterable<unknown>, sink: Writable, stopped: AbortSignal): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  const letGo = (): void => {
    void iterator.return?.().catch(() => {}); // nobody is left to be told
  };
  if (stopped.aborted) return letGo();
  stopped.addEventListener('abort', letGo, { once: true });
  try {
    for (;;) {
      const { value, done } = await iterator.next();
      if (done || stopped.aborted) return;
      if (!sink.write(value)) await drained(sink, stopped);
      if (stopped.aborted) return;
    }
  } finally {
    stopped.removeEventListener('abort', letGo);
  }
}

function drained(sink: Writable, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      sink.off('drain', done);
      stopped.removeEventListener('abort', done);
      resolve();
    };
    sink.once('drain', done);
    stopped.addEventListener('abort', done, { once: true });
    if (!sink.writableNeedDrain || stopped.aborted) done();
  });
}
