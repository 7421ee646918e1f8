import type { LogEntry } from '../engine.ts';
import type { Spoken } from './frames.ts';

/** A line and its exact time, to go on after it. */
export interface TimedLine {
  entry: LogEntry;
  /** Seconds and nanoseconds since 1970, `1700000000.000000001`. */
  at: string;
}

/**
 * Lines of docker's timestamped log. A long line comes in several pieces, each with a time of its own before it, and only the last
 * has a newline; its time is that of its first piece.
 */
export async function* logLines(pieces: AsyncIterable<Spoken>): AsyncGenerator<TimedLine> {
  const open = new Map<Spoken['stream'], { at: string; data: Buffer[] }>();
  const close = (stream: Spoken['stream']): TimedLine | undefined => {
    const line = open.get(stream);
    open.delete(stream);
    if (line === undefined) return undefined;
    const atMs = Math.floor(Number(line.at) * 1000);
    return { at: line.at, entry: { stream, atMs, data: Buffer.concat(line.data) } };
  };
  for await (const { stream, data } of pieces) {
    for (let from = 0; from < data.length;) {
      const newline = data.indexOf(10, from);
      const piece = data.subarray(from, newline === -1 ? data.length : newline + 1);
      from += piece.length;
      const { at, contents } = split(piece);
      const line = open.get(stream) ?? { at, data: [] };
      line.data.push(contents);
      open.set(stream, line);
      if (newline === -1) continue;
      const done = close(stream);
      if (done !== undefined) yield done;
    }
  }
  for (const stream of ['stdout', 'stderr'] as const) {
    const done = close(stream);
    if (done !== undefined) yield done;
  }
}

/** `2023-11-14T22:13:20.000000001Z the line` */
function split(piece: Buffer): { at: string; contents: Buffer } {
  const [whole = '', seconds = '', fraction = ''] =
    /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|[+-]\d\d:\d\d) /.exec(piece.toString('latin1', 0, 40)) ?? [];
  if (whole === '') return { at: '0.000000000', contents: piece };
  const zone = whole.trimEnd().slice(seconds.length + (fraction === '' ? 0 : fraction.length + 1));
  const at = `${Math.floor(Date.parse(seconds + zone) / 1000)}.${fraction.padEnd(9, '0')}`;
  return { at, contents: piece.subarray(whole.length) };
}

/** The next moment that a log can tell apart. */
export function justAfter(at: string): string {
  const [seconds = '0', fraction = '0'] = at.split('.');
  const next = BigInt(seconds) * 1_000_000_000n + BigInt(fraction) + 1n;
  return momentOf(next);
}

export function momentOf(nanoseconds: bigint): string {
  return `${nanoseconds / 1_000_000_000n}.${String(nanoseconds % 1_000_000_000n).padStart(9, '0')}`;
}

export function momentOfMs(ms: number): string {
  return momentOf(BigInt(Math.floor(ms)) * 1_000_000n);
}
