import { EruError } from '@eru/kit';
import { mkdtemp, rename, rm, stat, symlink } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { say, write } from '../output.ts';
import { ended, outputOf, startTar } from '../tar.ts';
import { splitWord } from '../workload-path.ts';
import { findWorkload } from '../workloads.ts';

/** Out of a workload or into one; archives are packed and unpacked by `tar`, which every Linux has. */
export async function copy(context: Context, source: string, target: string): Promise<number> {
  const [from, to] = [splitWord(source), splitWord(target)];
  if ((from === undefined) === (to === undefined))
    throw new EruError('invalid', 'one of the two must be WORKLOAD:/absolute/path, the other a path here, or -');
  if (from !== undefined && target === '-' && context.stdout.isTTY === true)
    throw new EruError('invalid', 'a tar stream is nothing for a terminal; send it somewhere: | tar -t');
  return withConnection(context, async (connection) => {
    const { word, path: there } = (from ?? to) as { word: string; path: string };
    const { record } = await findWorkload(connection, word, context.signal);
    const id = record?.id ?? '';
    if (from !== undefined) await copyOut(context, connection, { id, path: there }, target);
    else await copyIn(context, connection, { id, path: there }, source);
    if (target !== '-') say(context, `${source} copied to ${target}`);
    return exitCodes.ok;
  });
}

interface Place {
  id: string;
  path: string;
}

async function copyOut(context: Context, { eru }: Connection, place: Place, local: string): Promise<void> {
  const pieces = async function* (): AsyncGenerator<Uint8Array> {
    for await (const { data } of eru.copyOut(place, { signal: context.signal })) yield data;
  };
  if (local === '-') {
    for await (const piece of pieces()) await write(context.stdout, piece);
    return;
  }
  if (await isFolder(local)) return unpack(context, local, pieces());
  if (local.endsWith('/')) throw new EruError('invalid', `${local}: no such folder`);
  // Beside its target, so that it can be moved there in one step under another name.
  const parent = path.dirname(path.resolve(local));
  if (!(await isFolder(parent))) throw new EruError('invalid', `${parent}: no such folder`);
  const folder = await mkdtemp(path.join(parent, '.eru-cp-'));
  try {
    await unpack(context, folder, pieces());
    await rename(path.join(folder, path.posix.basename(place.path)), local);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function copyIn(context: Context, { eru }: Connection, place: Place, local: string): Promise<void> {
  const send = async (folder: string, archive: AsyncIterable<Uint8Array>): Promise<void> => {
    const requests = async function* () {
      yield { request: { case: 'open' as const, value: { id: place.id, path: folder } } };
      for await (const data of archive) yield { request: { case: 'data' as const, value: data } };
    };
    await eru.copyIn(requests(), { signal: context.signal });
  };
  if (local === '-') return send(place.path, context.stdin as AsyncIterable<Uint8Array>);
  const source = path.resolve(local);
  const folder = await isFolder(source);
  if (!folder && !(await exists(source))) throw new EruError('invalid', `${local}: no such file or folder`);
  const into = place.path.endsWith('/');
  const name = path.posix.basename(into ? source : place.path);
  // `tar` knows it by a link of the name that it is to have. What the link leads to is packed, links within it stay links.
  const links = await mkdtemp(path.join(os.tmpdir(), 'eru-cp-'));
  try {
    await symlink(source, path.join(links, name));
    const what = folder ? [`${name}/.`] : ['-h', name];
    const tar = startTar(['-c', '-f', '-', '-C', links, ...what]);
    await Promise.all([send(into ? place.path : path.posix.dirname(place.path), outputOf(tar)), ended(tar, context)]);
  } finally {
    await rm(links, { recursive: true, force: true });
  }
}

/** The files become the caller's own. */
async function unpack(context: Context, folder: string, archive: AsyncIterable<Uint8Array>): Promise<void> {
  const tar = startTar(['-x', '-f', '-', '--no-same-owner', '-C', folder]);
  const done = ended(tar, context);
  done.catch(() => {}); // told below
  try {
    for await (const piece of archive) {
      if (tar.stdin === null || tar.stdin.destroyed) break;
      await write(tar.stdin, piece);
    }
  } catch (error) {
    tar.kill('SIGKILL');
    throw error;
  }
  tar.stdin?.end();
  await done;
}

async function isFolder(name: string): Promise<boolean> {
  return stat(name).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

async function exists(name: string): Promise<boolean> {
  return stat(name).then(
    () => true,
    () => false,
  );
}
