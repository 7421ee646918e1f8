import { EruError, Queue, type Clock } from '@eru/kit';

/** How patient a transfer is with each of its ends. */
interface Pace {
  clock: Clock;
  idleMs: number;
}

/** Pieces that wait for one reader; the pieces themselves are shared by all. */
const buffered = 64;
const pieceBytes = 64 * 1024;

/** One of those that a stream of bytes is for. */
export class Branch {
  readonly pieces = new Queue<Uint8Array>(buffered);
  readonly #gone = new AbortController();
  /** How long the others have waited for it so far. */
  heldUpMs = 0;

  /** Aborts when it gets no more, with the reason. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get live(): boolean {
    return !this.pieces.ended && !this.signal.aborted;
  }

  fail(error: EruError): void {
    this.#gone.abort(error);
    this.pieces.end(error);
  }
}

/**
 * What a client uploads. What it is for is claimed as long as this goes on, so a client that sends nothing for `idleMs` while it is
 * waited for is left. @throws EruError `timeout`
 */
export async function* uploaded<T>(messages: AsyncIterable<T>, { clock, idleMs }: Pace): AsyncGenerator<T> {
  const iterator = messages[Symbol.asyncIterator]();
  const next = (): Promise<IteratorResult<T>> =>
    new Promise((resolve, reject) => {
      const silence = new EruError('timeout', `the client has sent nothing for ${idleMs / 1000} s`);
      const timer = clock.timer(idleMs, () => reject(silence));
      void iterator
        .next()
        .then(resolve, reject)
        .finally(() => timer.cancel());
    });
  try {
    for (;;) {
      const { value, done } = await next();
      if (done === true) return;
      yield value;
    }
  } finally {
    // Not waited for: after a silence it comes when the call is over.
    iterator.return?.().catch(() => {});
  }
}

/**
 * Gives a chunk to every branch, at the pace of the slowest that keeps up. Who takes nothing for `idleMs`, or has held up the
 * others for so long in all, gets a `timeout` and no more of it.
 */
export async function giveAll(chunk: Uint8Array, branches: readonly Branch[], { clock, idleMs }: Pace): Promise<void> {
  for (let at = 0; at < chunk.length; at += pieceBytes) {
    const piece = chunk.subarray(at, at + pieceBytes);
    const behind = branches.filter((branch) => branch.live && !branch.pieces.push(piece));
    const holdUp = behind.length < branches.filter(({ live }) => live).length;
    await Promise.all(
      behind.map(async (branch) => {
        const limitMs = holdUp ? Math.max(0, idleMs - branch.heldUpMs) : idleMs;
        const beganMs = clock.monotonic();
        const timer = clock.timer(limitMs, () => branch.fail(tooSlow(holdUp, idleMs)));
        await branch.pieces.put(piece);
        timer.cancel();
        if (holdUp) branch.heldUpMs += clock.monotonic() - beganMs;
      }),
    );
  }
}

/** After the last chunk. What is not `done` within four times `idleMs`, in all an engine's time for a copy, is given up. */
export function finish(branch: Branch, done: Promise<unknown>, { clock, idleMs }: Pace): void {
  branch.pieces.end();
  const late = new EruError('timeout', `was not done ${(4 * idleMs) / 1000} s after the last piece`);
  const timer = clock.timer(4 * idleMs, () => branch.fail(late));
  const cancel = (): void => timer.cancel();
  done.then(cancel, cancel);
}

function tooSlow(holdUp: boolean, idleMs: number): EruError {
  const seconds = idleMs / 1000;
  return new EruError(
    'timeout',
    holdUp ? `fell behind: the others have waited ${seconds} s for it` : `took nothing for ${seconds} s`,
  );
}
