import type { LogEntry } from '@eru/engines';

/**
 * One line of a log file, as conmon writes its `k8s-file`: `TIME stdout|stderr F|P TEXT`. `P` is a part of a longer line;
 * the next one of the same stream goes on where it ended.
 */
export interface LogLine {
  stream: 'stdout' | 'stderr';
  atMs: number;
  whole: boolean;
  text: Uint8Array;
}

const blank = 0x20;

/** Without the final newline. Undefined for what no writer of ours wrote. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const first = line.indexOf(blank);
  const second = line.indexOf(blank, first + 1);
  const third = line.indexOf(blank, second + 1);
  if (first < 0 || second < 0 || third < 0) return undefined;
  const atMs = parseTime(line.toString('latin1', 0, first));
  const stream = line.toString('latin1', first + 1, second);
  if (Number.isNaN(atMs) || (stream !== 'stdout' && stream !== 'stderr')) return undefined;
  const whole = line.toString('latin1', second + 1, third).startsWith('F');
  return { stream, atMs, whole, text: line.subarray(third + 1) };
}

/** Text with newlines as lines of a log file; what follows the last newline is a part. */
export function formatLog(stream: 'stdout' | 'stderr', atMs: number, data: Buffer): Buffer {
  const time = new Date(atMs).toISOString().replace('Z', '000000+00:00');
  const pieces: Buffer[] = [];
  for (let start = 0; start < data.length;) {
    const newline = data.indexOf(10, start);
    const end = newline < 0 ? data.length : newline;
    pieces.push(
      Buffer.from(`${time} ${stream} ${newline < 0 ? 'P' : 'F'} `),
      data.subarray(start, end),
      Buffer.from('\n'),
    );
    start = end + 1;
  }
  return Buffer.concat(pieces);
}

/** A very long line is given in pieces of this size rather than held in memory. */
const longestLine = 1024 * 1024;

/** Puts lines back together from their parts. */
export class LineJoiner {
  readonly #parts = new Map<string, { atMs: number; texts: Uint8Array[]; bytes: number }>();

  /** Undefined while the line is not whole. */
  add(line: LogLine): LogEntry | undefined {
    const begun = this.#parts.get(line.stream) ?? { atMs: line.atMs, texts: [], bytes: 0 };
    begun.texts.push(line.text);
    begun.bytes += line.text.length;
    if (!line.whole && begun.bytes < longestLine) {
      this.#parts.set(line.stream, begun);
      return undefined;
    }
    this.#parts.delete(line.stream);
    const texts = line.whole ? [...begun.texts, Buffer.from('\n')] : begun.texts;
    return { stream: line.stream, atMs: begun.atMs, data: Buffer.concat(texts) };
  }

  /** What never got its newline. */
  rest(): LogEntry[] {
    const rest = [...this.#parts].map(([stream, { atMs, texts }]) => ({
      stream: stream as LogEntry['stream'],
      atMs,
      data: Buffer.concat(texts),
    }));
    this.#parts.clear();
    return rest;
  }
}

/** RFC 3339 with nanoseconds; Date knows only milliseconds. */
function parseTime(text: string): number {
  return Date.parse(text.replace(/(\.\d{3})\d*/, '$1'));
}
