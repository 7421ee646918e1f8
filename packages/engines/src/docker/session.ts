import { EruError, Queue } from '@eru/kit';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';

import type { Session, TerminalSize } from '../engine.ts';
import type { Spoken } from './frames.ts';
import { frames, unframed } from './frames.ts';

/** Pieces of output on their way before the command has to wait. */
const inFlight = 16;

export interface SessionCalls {
  /** Asked once the output has ended. */
  exit(): Promise<number>;
  /** What of the first words is passed on; refuses where they say why there will be no others. */
  first?(words: Spoken): Promise<Spoken>;
  resize(size: TerminalSize): Promise<void>;
  /** Before the connection is given up. */
  end?(): Promise<void>;
}

/** A hijacked connection as a session. */
export class DockerSession implements Session {
  readonly output = new Queue<Spoken>(inFlight);
  readonly exit: Promise<number>;
  readonly #socket: Duplex;
  readonly #calls: SessionCalls;
  #stdin: boolean;

  constructor(
    { socket, head }: { socket: Duplex; head: Buffer },
    { stdin, tty }: { stdin: boolean; tty: boolean },
    calls: SessionCalls,
  ) {
    this.#socket = socket;
    this.#calls = calls;
    this.#stdin = stdin;
    socket.on('error', () => {}); // The reader of it is told.
    if (head.length > 0) socket.unshift(head);
    this.exit = this.#receive(tty);
    this.exit.catch(() => {}); // Whoever asks is told; nobody has to ask.
  }

  async write(data: Uint8Array): Promise<void> {
    if (!this.#stdin || this.#socket.destroyed || !this.#socket.writable)
      throw new EruError('precondition', 'stdin is closed');
    if (data.length === 0 || this.#socket.write(data)) return;
    const gone = new AbortController();
    try {
      await Promise.race([
        once(this.#socket, 'drain', { signal: gone.signal }),
        once(this.#socket, 'close', { signal: gone.signal }),
      ]);
    } finally {
      gone.abort();
    }
  }

  async closeStdin(): Promise<void> {
    if (!this.#stdin) return;
    this.#stdin = false;
    await new Promise<void>((resolve) => this.#socket.end(resolve));
  }

  async resize(size: TerminalSize): Promise<void> {
    await this.#calls.resize(size);
  }

  async close(): Promise<void> {
    this.#stdin = false;
    await this.#calls.end?.();
    this.#socket.destroy();
    this.output.end();
  }

  /** Moves output at the reader's pace; a reader who has left is waited for no more. */
  async #receive(tty: boolean): Promise<number> {
    let failure: unknown;
    let first = true;
    try {
      for await (const spoken of (tty ? unframed : frames)(this.#socket)) {
        await this.output.put(first ? ((await this.#calls.first?.(spoken)) ?? spoken) : spoken);
        first = false;
      }
    } catch (error) {
      failure = error;
    }
    try {
      const code = await this.#calls.exit();
      this.output.end();
      return code;
    } catch (error) {
      this.output.end(failure ?? error);
      throw error;
    } finally {
      this.#stdin = false;
      this.#socket.destroy();
    }
  }
}
