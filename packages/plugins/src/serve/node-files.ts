import { createHash } from 'node:crypto';
import { mkdir, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  EruError,
  isErrno,
  isJsonObject,
  readIfExists,
  stableStringify,
  syncFolder,
  writeFileAtomic,
  type Json,
} from '@eru/kit';
import type { KindNode } from '@eru/scheduler';
import { takeTurn } from './turn.ts';

/**
 * What a kind that is a process remembers: one file per node. Written whole or not at all, so that a process may be killed at
 * any time; changes of one node take turns over all processes of this machine, so that none is lost.
 */
export class NodeFiles {
  readonly #folder: string;
  readonly #lock: string;

  private constructor(folder: string, lock: string) {
    this.#folder = folder;
    this.#lock = lock;
  }

  static async open(folder: string): Promise<NodeFiles> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const { dev, ino } = await stat(folder);
    return new NodeFiles(folder, `eru-kind-${dev}-${ino}`);
  }

  async read(node: string): Promise<KindNode | undefined> {
    const file = this.#file(node);
    const text = await readIfExists(file);
    if (text === undefined) return undefined;
    const value = jsonOf(text);
    if (!isJsonObject(value) || !isJsonObject(value['capacity']) || !isJsonObject(value['usage']))
      throw new EruError('failed', `${file} is no record of a node; put back what was there, or remove the file`);
    return { capacity: value['capacity'], usage: value['usage'] };
  }

  /** What `change` makes of the record; `undefined` is none. Durable when this resolves. */
  async change(node: string, change: (before: KindNode | undefined) => Promise<KindNode | undefined>): Promise<void> {
    const release = await takeTurn(`${this.#lock}-${createHash('sha256').update(node).digest('hex').slice(0, 32)}`);
    try {
      const before = await this.read(node);
      const after = await change(before);
      if (after !== undefined) {
        if (before === undefined || stableStringify(before) !== stableStringify(after)) await this.#write(node, after);
      } else if (before !== undefined) {
        await rm(this.#file(node));
        await syncFolder(this.#folder);
      }
    } finally {
      release();
    }
  }

  async #write(node: string, { capacity, usage }: KindNode): Promise<void> {
    await writeFileAtomic(this.#file(node), `${JSON.stringify({ capacity, usage })}\n`, 0o600).catch(
      (error: unknown) => {
        if (isErrno(error, 'ENAMETOOLONG'))
          throw new EruError('invalid', `node name ${node} is too long`, { cause: error });
        throw error;
      },
    );
  }

  /** Names of nodes are not names of files: they may hold a slash. */
  #file(node: string): string {
    return path.join(this.#folder, `${encodeURIComponent(node)}.json`);
  }
}

function jsonOf(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}
