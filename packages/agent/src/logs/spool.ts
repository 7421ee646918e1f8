import { mkdir, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';

const segments = 8;
const leastSegmentBytes = 64 * 1024;
const place = 'read.json';

interface Segment {
  number: number;
  bytes: number;
}

/**
 * Lines on disk, first in first out, in files that are deleted when they are read. Outlives the process: what was taken
 * out and not acknowledged comes again. (Not a power cut: nothing is forced to the disk.)
 */
export class Spool {
  readonly #folder: string;
  readonly #maxBytes: number;
  readonly #segments: Segment[];
  /** In the first segment. */
  #offset: number;
  #dirty = false;

  private constructor(folder: string, maxBytes: number, found: Segment[], offset: number) {
    this.#folder = folder;
    this.#maxBytes = maxBytes;
    this.#segments = found;
    this.#offset = offset;
  }

  static async open(folder: string, maxBytes: number): Promise<Spool> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const names = (await readdir(folder)).filter((name) => /^\d{10}\.lines$/.test(name)).toSorted();
    const found: Segment[] = [];
    for (const name of names) {
      const file = path.join(folder, name);
      found.push({ number: Number.parseInt(name, 10), bytes: (await stat(file)).size });
    }
    const last = found.at(-1);
    if (last !== undefined) {
      // Who was killed while writing has left half a line.
      const file = path.join(folder, fileOf(last.number));
      last.bytes = (await readFile(file)).lastIndexOf(10) + 1;
      await truncate(file, last.bytes);
    }
    return new Spool(folder, maxBytes, found, await readPlace(folder, found[0]?.number));
  }

  /** Not acknowledged yet. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0) - this.#offset;
  }

  get full(): boolean {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0) >= this.#maxBytes;
  }

  /** All of them or, when it rejects, none. */
  async append(lines: readonly Buffer[]): Promise<void> {
    let last = this.#segments.at(-1);
    if (last === undefined || last.bytes >= Math.max(leastSegmentBytes, this.#maxBytes / segments)) {
      last = { number: (last?.number ?? 0) + 1, bytes: 0 };
      this.#segments.push(last);
    }
    const data = Buffer.concat(lines);
    const handle = await open(path.join(this.#folder, fileOf(last.number)), 'a', 0o600);
    try {
      await handle.appendFile(data);
      last.bytes += data.length;
    } catch (error) {
      await handle.truncate(last.bytes);
      throw error;
    } finally {
      await handle.close();
    }
  }

  /** The oldest lines, some `mostBytes` of them and at least one; empty when there are none. */
  async read(mostBytes: number): Promise<Buffer[]> {
    const first = this.#segments[0];
    if (first === undefined || this.bytes === 0) return [];
    const handle = await open(path.join(this.#folder, fileOf(first.number)));
    try {
      for (let size = mostBytes; ; size *= 2) {
        const left = Math.min(size, first.bytes - this.#offset);
        const { buffer } = await handle.read(Buffer.alloc(left), 0, left, this.#offset);
        const end = buffer.lastIndexOf(10) + 1;
        if (end > 0 || left < size) return splitLines(buffer.subarray(0, end));
      }
    } finally {
      await handle.close();
    }
  }

  /** What `read` gave last is done with. */
  async acknowledge(lines: readonly Buffer[]): Promise<void> {
    this.#offset += lines.reduce((sum, { length }) => sum + length, 0);
    this.#dirty = true;
    const [first] = this.#segments;
    if (first === undefined || this.#offset < first.bytes) return;
    this.#offset = 0;
    this.#segments.shift();
    await this.save();
    await rm(path.join(this.#folder, fileOf(first.number)), { force: true });
  }

  /** Notes how far it has been read. */
  async save(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    const number = this.#segments[0]?.number ?? 0;
    await writeFile(path.join(this.#folder, place), JSON.stringify({ number, offset: this.#offset }), { mode: 0o600 });
  }
}

function fileOf(number: number): string {
  return `${String(number).padStart(10, '0')}.lines`;
}

async function readPlace(folder: string, first: number | undefined): Promise<number> {
  try {
    const { number, offset } = JSON.parse(await readFile(path.join(folder, place), 'utf8')) as Record<string, number>;
    return number === first ? (offset ?? 0) : 0;
  } catch {
    return 0; // None yet, or half of one: read again from the beginning.
  }
}

function splitLines(data: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start < data.length;) {
    const end = data.indexOf(10, start) + 1;
    lines.push(data.subarray(start, end));
    start = end;
  }
  return lines;
}
