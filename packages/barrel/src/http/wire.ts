import type { Duplex } from 'node:stream';

import { EruError } from '@eru/kit';

import { headBytesMax, malformed } from './head.ts';

/** Read ahead at most, so that the end of a peer is seen while nobody reads. */
const aheadBytes = 65_536;

/**
 * One connection, read when asked. It reads a little ahead: so a peer that ends its side is noticed at once (`onEnd`), also
 * while its request is worked on. Its writing side stays open until `end`.
 */
export class Wire {
  readonly socket: Duplex;
  /** Called once, when the peer has ended its side or is gone. */
  onEnd: (() => void) | undefined;
  #failure: Error | undefined;
  #pieces: Buffer[] = [];
  #bytes = 0;
  #ended = false;
  #gone = false;
  #wake: (() => void) | undefined;

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
      if (this.#bytes >= aheadBytes) socket.pause();
      this.#wake?.();
    });
    socket.on('end', () => this.#over(false));
    socket.on('error', (error) => {
      this.#failure ??= error;
      this.#over(true);
    });
    socket.on('close', () => this.#over(true));
  }

  /** The peer sends nothing more. What it sent before may still be unread. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Closed altogether: nothing can be written either. */
  get gone(): boolean {
    return this.#gone || this.socket.destroyed;
  }

  /** Why it is closed, where that is known. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Bytes that have come and were not read. */
  get pending(): boolean {
    return this.#bytes > 0;
  }

  /** The next bytes; undefined at the end. */
  async read(): Promise<Buffer | undefined> {
    while (this.#pieces.length === 0) {
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const piece = this.#pieces.shift() as Buffer;
    this.#bytes -= piece.length;
    if (this.#bytes < aheadBytes && this.socket.isPaused()) this.socket.resume();
    return piece;
  }

  /** Puts back what was read too much. */
  unread(piece: Buffer): void {
    if (piece.length === 0) return;
    this.#pieces.unshift(piece);
    this.#bytes += piece.length;
  }

  /** All bytes up to the empty line; undefined when the peer ended before the first of them. @throws EruError */
  async readHead(): Promise<Buffer | undefined> {
    let head: Buffer = Buffer.alloc(0);
    for (;;) {
      const piece = await this.read();
      if (piece === undefined) {
        if (head.length === 0) return undefined;
        throw malformed('it ends within its head');
      }
      head = head.length === 0 ? piece : Buffer.concat([head, piece]);
      // Empty lines before a request are allowed.
      while (head.length >= 2 && head[0] === 13 && head[1] === 10) head = head.subarray(2);
      const end = head.indexOf('\r\n\r\n');
      if (end !== -1) {
        this.unread(head.subarray(end + 4));
        return head.subarray(0, end + 4);
      }
      if (head.length > headBytesMax) throw malformed(`its head has more than ${headBytesMax} bytes`);
    }
  }

  /** Resolves when more may be written. @throws EruError `unavailable` when the peer is gone */
  async write(piece: Buffer): Promise<void> {
    const { socket } = this;
    if (this.gone) throw gone();
    if (socket.write(piece)) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (): void => {
        socket.off('drain', settle);
        socket.off('close', settle);
        if (socket.destroyed) reject(gone());
        else resolve();
      };
      socket.on('drain', settle);
      socket.on('close', settle);
    });
  }

  /** Nothing more comes from us; the peer may go on. */
  end(): void {
    if (!this.gone) this.socket.end();
  }

  /** The same; resolves when all that was written is on its way, or the peer is gone. */
  async finish(): Promise<void> {
    const { socket } = this;
    this.end();
    if (this.gone || socket.writableFinished) return;
    await new Promise<void>((resolve) => {
      socket.once('finish', resolve);
      socket.once('close', resolve);
    });
  }

  destroy(): void {
    this.socket.destroy();
  }

  #over(gone: boolean): void {
    this.#gone ||= gone;
    const first = !this.#ended;
    this.#ended = true;
    this.#wake?.();
    if (first) this.onEnd?.();
  }
}

function gone(): EruError {
  return new EruError('unavailable', 'the other side is gone');
}
