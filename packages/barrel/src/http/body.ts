import { malformed, type Framing } from './head.ts';

/** Of the next piece of a body: how many bytes belong to it, whether it ends there, and what of them is content. */
export interface Scanned {
  readonly bytes: number;
  readonly done: boolean;
  readonly content: readonly Buffer[];
}

/** Finds the end of a body as it comes. */
export interface BodyScanner {
  scan(piece: Buffer): Scanned;
}

export function bodyScanner(framing: Framing): BodyScanner {
  switch (framing.kind) {
    case 'none':
      return { scan: () => ({ bytes: 0, done: true, content: [] }) };
    case 'length':
      return new LengthScanner(framing.bytes);
    case 'chunked':
      return new ChunkScanner();
    case 'close':
      return { scan: (piece) => ({ bytes: piece.length, done: false, content: [piece] }) };
  }
}

class LengthScanner implements BodyScanner {
  #left: number;

  constructor(bytes: number) {
    this.#left = bytes;
  }

  scan(piece: Buffer): Scanned {
    const bytes = Math.min(this.#left, piece.length);
    this.#left -= bytes;
    return { bytes, done: this.#left === 0, content: bytes === 0 ? [] : [piece.subarray(0, bytes)] };
  }
}

/** A line of a chunked body: a size and its extensions, or a trailer. */
const lineBytesMax = 16_384;

/** The chunked coding of RFC 9112, 7.1: sizes in hexadecimal, each line ends with CR LF. */
class ChunkScanner implements BodyScanner {
  #state: 'size' | 'data' | 'data-end' | 'trailer' = 'size';
  #left = 0;
  #line = '';

  scan(piece: Buffer): Scanned {
    const content: Buffer[] = [];
    let at = 0;
    while (at < piece.length) {
      if (this.#state === 'data') {
        const end = Math.min(piece.length, at + this.#left);
        content.push(piece.subarray(at, end));
        this.#left -= end - at;
        at = end;
        if (this.#left === 0) this.#state = 'data-end';
        continue;
      }
      const found = piece.indexOf(10, at);
      const end = found === -1 ? piece.length : found + 1;
      this.#line += piece.toString('latin1', at, end);
      at = end;
      if (this.#line.length > lineBytesMax) throw malformed('a line of its chunked body is too long');
      if (found !== -1 && this.#endsWith(this.#takeLine())) return { bytes: at, done: true, content };
    }
    return { bytes: at, done: false, content };
  }

  #takeLine(): string {
    const line = this.#line;
    this.#line = '';
    if (!line.endsWith('\r\n')) throw malformed('a line of its chunked body does not end with CR LF');
    return line.slice(0, -2);
  }

  /** Whether the body ends with this line. */
  #endsWith(line: string): boolean {
    if (this.#state === 'trailer') return line === '';
    if (this.#state === 'data-end') {
      if (line !== '') throw malformed('a chunk of its body is longer than was said');
      this.#state = 'size';
      return false;
    }
    const size = /^([0-9a-fA-F]{1,12})[ \t]*(?:;.*)?$/.exec(line)?.[1];
    if (size === undefined) throw malformed('the size of a chunk is no hexadecimal number');
    this.#left = Number.parseInt(size, 16);
    this.#state = this.#left === 0 ? 'trailer' : 'data';
    return false;
  }
}
