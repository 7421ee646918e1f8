import { lstat, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { EruError, isErrno, type Logger } from '@eru/kit';

export interface FoundPlugin {
  readonly name: string;
  /** Absolute, as is the folder. */
  readonly path: string;
  readonly folder: string;
}

/**
 * The plugins of a folder, in name order: its direct files with all three execute bits, a symbolic link counts as one;
 * `*.so` are the original's shared libraries, which nothing but Go can load. The name is the file's; one that is taken is
 * skipped. Whoever can write here runs commands as this process, so folder and files must be its user's alone.
 * @throws EruError `precondition`, `not_found`
 */
export async function discoverPlugins(
  folder: string,
  { taken, logger }: { readonly taken: readonly string[]; readonly logger: Logger },
): Promise<FoundPlugin[]> {
  const root = path.resolve(folder);
  await checkFolder(root);
  const names = (await readdir(root)).filter((name) => !name.endsWith('.so')).sort();
  const found: FoundPlugin[] = [];
  for (const name of names) {
    const file = path.join(root, name);
    if (!(await isExecutable(file))) continue;
    if (taken.includes(name)) {
      logger.warn({ plugin: name, file }, 'resource plugin skipped: a resource kind of this name is there already');
      continue;
    }
    found.push({ name, path: file, folder: root });
  }
  return found;
}

async function checkFolder(folder: string): Promise<void> {
  const { uid, mode } = await stat(folder).catch((cause: unknown) => {
    if (!isErrno(cause, 'ENOENT')) throw EruError.from(cause);
    throw new EruError('not_found', `resource_plugin.dir: ${folder} does not exist; create it, or leave the key out`, {
      cause,
    });
  });
  const own = process.geteuid?.();
  if (uid !== own)
    throw refused(
      folder,
      `belongs to user ${uid}, not to user ${own}, which runs the plugins`,
      `chown ${own} ${folder}`,
    );
  if ((mode & 0o022) !== 0) throw refused(folder, 'can be written to by other users', `chmod go-w ${folder}`);
}

/** Of a link the file behind it is judged; one that leads nowhere counts, and its calls say so. */
async function isExecutable(file: string): Promise<boolean> {
  const link = await lstat(file);
  if (link.isDirectory() || (link.mode & 0o111) !== 0o111) return false;
  const target = await stat(file).catch(() => undefined);
  if (target === undefined) return true;
  if (!target.isFile()) return false;
  if (target.uid !== process.geteuid?.() && target.uid !== 0)
    throw refused(file, `belongs to user ${target.uid}`, `chown ${process.geteuid?.()} ${file}`);
  if ((target.mode & 0o022) !== 0) throw refused(file, 'can be written to by other users', `chmod go-w ${file}`);
  return true;
}

function refused(file: string, why: string, remedy: string): EruError {
  return new EruError(
    'precondition',
    `resource_plugin.dir: ${file} ${why}: whoever can write there runs commands as core; ${remedy}`,
    {
      details: { file, remedy },
    },
  );
}
