import { EruError } from '@eru/kit';
import { existsSync } from 'node:fs';
import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';

import type { Place } from '../process/launcher.ts';
import { Rooted } from './rooted.ts';

/** Where files of a workload are, for one path: the root to look from, and the path from there. */
export interface FileView {
  root: Rooted;
  path: string;
}

/** On the host's root these are private, and empty at each start, until something is put there before it: then they are kept. */
export const privateNames = ['tmp', 'run'] as const;

export function privateFolder({ folder }: Pick<Place, 'folder'>, name: (typeof privateNames)[number]): string {
  return path.join(folder.layer, name);
}

/**
 * The files of a workload at a path. While it runs, through its main process: exactly what it sees. Before, its folder or its
 * private layer; what is put together only when it starts is refused until then.
 * @param pid its main process; 0 = it does not run
 * @throws EruError `unsupported`, `precondition`
 */
export async function viewFiles(place: Place, pid: number, asked: string, forWriting: boolean): Promise<FileView> {
  const { machine, record, folder } = place;
  const { root } = record.spec;
  const wanted = path.posix.normalize(`/${asked}`);
  if (machine.runc === undefined)
    throw new EruError('unsupported', 'copy: a plain process has no files of its own; copy on the machine itself');
  if (pid > 0) return { root: await Rooted.open(`/proc/${pid}/root`), path: wanted };
  if (root.type === 'folder' && record.shared !== true) {
    if (forWriting && root.readOnly) throw readOnly(wanted);
    return { root: await Rooted.open(root.path), path: wanted };
  }
  const lower = root.type === 'folder' ? root.path : '/';
  const name = privateNames.find(
    (known) => root.type === 'host' && (wanted === `/${known}` || wanted.startsWith(`/${known}/`)),
  );
  if (name !== undefined) {
    const own = privateFolder(place, name);
    if (!existsSync(own)) {
      if (!forWriting) throw new EruError('not_found', `${wanted}: there is nothing; it does not run`);
      await mkdir(own, { recursive: true });
      await chmod(own, name === 'tmp' ? 0o1777 : 0o755);
    }
    return { root: await Rooted.open(own), path: wanted.slice(name.length + 1) };
  }
  if (forWriting && root.type === 'host' && !root.writable) throw readOnly(wanted);
  if (!forWriting && !existsSync(path.join(lower, wanted)))
    throw new EruError('not_found', `${wanted}: there is no such file or folder`);
  if (!forWriting)
    throw new EruError('precondition', `${wanted}: its files are put together when it starts; start it first`);
  const upper = path.join(folder.layer, 'upper');
  await mkdir(upper, { recursive: true });
  return { root: await Rooted.open(upper, await Rooted.open(lower)), path: wanted };
}

function readOnly(wanted: string): EruError {
  return new EruError(
    'precondition',
    `${wanted}: its root is read-only; it can take files in /tmp and /run, or with root: overlay anywhere`,
  );
}
