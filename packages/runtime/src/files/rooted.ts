import { EruError, isErrno } from '@eru/kit';
import type { Stats } from 'node:fs';
import { constants } from 'node:fs';
import { chmod, chown, lstat, mkdir, open, readlink, type FileHandle } from 'node:fs/promises';
import path from 'node:path';

/** Only a name for a folder: nothing is read through it, and no right to read is needed (open(2)). */
const oPath = 0o10_000_000;
/** As the kernel counts (path_resolution(7)). */
const mostLinks = 40;

/** A name in a folder that is held open. */
export interface Spot {
  folder: FileHandle;
  name: string;
  /** Absent: there is nothing of this name. */
  stat: Stats | undefined;
}

export interface SpotOptions {
  /** Follows a link at the end too. */
  follow: boolean;
  /** Makes the folders on the way. */
  make: boolean;
}

/**
 * A folder as the root of a file tree that somebody else may be changing. Each step of a path is taken from a folder that is
 * held open, and no link is followed but by reading it, as a process inside would: nothing leads out, whatever is renamed or
 * linked meanwhile.
 */
export class Rooted {
  readonly #root: FileHandle;
  readonly #lower: Rooted | undefined;
  readonly #opened: FileHandle[] = [];

  private constructor(root: FileHandle, lower: Rooted | undefined) {
    this.#root = root;
    this.#lower = lower;
  }

  /** `lower`, which it closes with itself: the tree that this one is a layer over; folders and links that are only there are as if they were here. */
  static async open(folder: string, lower?: Rooted): Promise<Rooted> {
    return new Rooted(await open(folder, oPath | constants.O_DIRECTORY), lower);
  }

  /** @throws EruError `not_found` for a missing folder on the way, `invalid` for what is none */
  async spot(place: string, { follow, make }: SpotOptions): Promise<Spot> {
    const ahead = place.split('/');
    let way = [this.#root];
    let names: string[] = [];
    for (let links = 0; ;) {
      const name = ahead.shift();
      const folder = way.at(-1) ?? this.#root;
      if (name === undefined) return { folder, name: '.', stat: await lstat(at(folder, '.')) };
      if (name === '' || name === '.') continue;
      if (name === '..') {
        if (way.length > 1) [way, names] = [way.slice(0, -1), names.slice(0, -1)];
        continue;
      }
      const last = ahead.every((rest) => rest === '' || rest === '.');
      const below = await this.#lower?.look([...names, name]);
      const stat = (await statOf(at(folder, name))) ?? (below?.isSymbolicLink() === true ? below : undefined);
      if (stat?.isSymbolicLink() === true && (!last || follow)) {
        if (++links > mostLinks) throw new EruError('invalid', `${place}: too many links`);
        const target = await this.#linkAt(folder, name, names);
        ahead.unshift(...target.split('/'));
        if (target.startsWith('/')) [way, names] = [[this.#root], []];
        continue;
      }
      if (last) return { folder, name, stat };
      if (stat === undefined) {
        if (!make && below === undefined) throw new EruError('not_found', `${place}: there is no ${name} on the way`);
        await this.#make(at(folder, name), below);
      }
      way = [...way, await this.folder(folder, name, place)];
      names = [...names, name];
    }
  }

  /** Opens a folder by its name, never through a link. */
  async folder(parent: FileHandle, name: string, place: string): Promise<FileHandle> {
    try {
      const handle = await open(at(parent, name), oPath | constants.O_DIRECTORY | constants.O_NOFOLLOW);
      this.#opened.push(handle);
      return handle;
    } catch (cause) {
      if (isErrno(cause, 'ENOTDIR') || isErrno(cause, 'ELOOP'))
        throw new EruError('invalid', `${place}: ${name} is no folder`, { cause });
      throw cause;
    }
  }

  /** Lets go of the folders of earlier spots. */
  async release(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((handle) => handle.close()));
  }

  async close(): Promise<void> {
    await this.release();
    await this.#root.close();
    await this.#lower?.close();
  }

  /** What is at a path that is free of links; undefined when it is not. */
  private async look(names: readonly string[]): Promise<Stats | undefined> {
    return statOf(path.join(`/proc/self/fd/${this.#root.fd}`, ...names));
  }

  async #linkAt(folder: FileHandle, name: string, names: readonly string[]): Promise<string> {
    try {
      return await readlink(at(folder, name));
    } catch (error) {
      if (this.#lower === undefined || !isErrno(error, 'ENOENT')) throw error;
      return readlink(path.join(`/proc/self/fd/${this.#lower.#root.fd}`, ...names, name));
    }
  }

  /** Like the one that it covers. */
  async #make(folder: string, below: Stats | undefined): Promise<void> {
    await mkdir(folder).catch((error: unknown) => {
      if (!isErrno(error, 'EEXIST')) throw error;
    });
    if (below === undefined) return;
    await chown(folder, below.uid, below.gid);
    await chmod(folder, below.mode & 0o7777);
  }
}

/** The path of a name in a folder that is held open. */
export function at(folder: FileHandle, name: string): string {
  return `/proc/self/fd/${folder.fd}/${name}`;
}

async function statOf(file: string): Promise<Stats | undefined> {
  return lstat(file).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT') || isErrno(error, 'ENOTDIR')) return undefined;
    throw error;
  });
}
