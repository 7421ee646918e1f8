/**
 * The items of a source in groups: what comes within one turn of the event loop, or while the last group is being taken,
 * goes together. A group is not much larger than `most`, by `sizeOf`; the source is held back meanwhile.
 */
export async function* gather<T>(
  source: AsyncIterable<T>,
  most: number,
  sizeOf: (item: T) => number,
): AsyncGenerator<T[], void> {
  const held = { items: [] as T[], size: 0, over: false, error: undefined as unknown };
  let wake = (): void => {};
  let resume = (): void => {};
  const fill = async (): Promise<void> => {
    for await (const item of source) {
      held.items.push(item);
      held.size += sizeOf(item);
      wake();
      while (held.size >= most && !held.over) await new Promise<void>((resolve) => (resume = resolve));
      if (held.over) return;
    }
  };
  const ended = (error?: unknown): void => {
    held.over = true;
    held.error = error;
    wake();
  };
  fill().then(() => ended(), ended);
  try {
    for (;;) {
      while (held.items.length === 0 && !held.over) await new Promise<void>((resolve) => (wake = resolve));
      await new Promise((resolve) => setImmediate(resolve));
      const group = held.items;
      if (group.length === 0) break;
      held.items = [];
      held.size = 0;
      resume();
      yield group;
    }
    if (held.error !== undefined) throw held.error;
  } finally {
    held.over = true;
    resume();
  }
}
