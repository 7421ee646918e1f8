import type { CallOptions, EngineEvent } from '@eru/engines';
import type { Clock } from '@eru/kit';
import { EruError, Queue } from '@eru/kit';

type Happening = Exclude<EngineEvent, { type: 'ready' }>;

const keptEvents = 4096;
/** A reader this far behind is cut off and lists again. */
const readerLimit = 4096;

/** The last events of this process, in order. A cursor of another process (`<instance>-<sequence>`) is answered with `compacted`. */
export class EventRing {
  readonly #clock: Clock;
  readonly #instance: string;
  readonly #kept: Happening[] = [];
  readonly #readers = new Set<Queue<EngineEvent>>();
  #sequence = 0;

  constructor(clock: Clock, instance: string) {
    this.#clock = clock;
    this.#instance = instance;
  }

  emit(type: Happening['type'], id: string, name: string): void {
    this.#sequence += 1;
    const event = { type, cursor: this.#cursor(), atMs: this.#clock.now(), id, name };
    this.#kept.push(event);
    if (this.#kept.length > keptEvents) this.#kept.shift();
    for (const reader of this.#readers) {
      if (!reader.push(event)) reader.end(new EruError('compacted', 'this reader fell too far behind; list again'));
    }
  }

  async *read(options: CallOptions & { after?: string }): AsyncIterable<EngineEvent> {
    const { after, signal } = options;
    if (signal?.aborted) throw EruError.from(signal.reason);
    const missed = after === undefined ? [] : this.#since(after);
    const queue = new Queue<EngineEvent>(readerLimit + missed.length + 1);
    queue.push({ type: 'ready', cursor: after ?? this.#cursor() });
    for (const event of missed) queue.push(event);
    this.#readers.add(queue);
    const stop = (): void => queue.end(EruError.from(signal?.reason));
    signal?.addEventListener('abort', stop, { once: true });
    try {
      yield* queue;
    } finally {
      signal?.removeEventListener('abort', stop);
      this.#readers.delete(queue);
    }
  }

  close(): void {
    for (const reader of this.#readers) reader.end();
  }

  #since(cursor: string): Happening[] {
    const [, instance, digits] = /^(.+)-(\d+)$/.exec(cursor) ?? [];
    const first = this.#sequence - this.#kept.length;
    const sequence = Number(digits);
    if (instance !== this.#instance || sequence < first || sequence > this.#sequence)
      throw new EruError('compacted', 'the events since then are not kept; list again');
    return this.#kept.slice(sequence - first);
  }

  #cursor(): string {
    return `${this.#instance}-${this.#sequence}`;
  }
}
