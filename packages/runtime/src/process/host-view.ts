import { existsSync, lstatSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';

import type { OciMount } from './oci-mount.ts';

/** Private to each workload: the host's sockets and temporary files are not for it. */
const privateFolders = ['/tmp', '/run', '/var/run', '/dev', '/proc', '/sys'];
const kernelTypes = new Set(
  'proc sysfs cgroup cgroup2 devtmpfs devpts mqueue debugfs tracefs securityfs pstore bpf configfs fusectl hugetlbfs nsfs autofs binfmt_misc rpc_pipefs efivarfs selinuxfs'.split(
    ' ',
  ),
);
/** File systems of other containers. */
const foreign = ['/var/lib/docker', '/var/lib/containers', '/var/lib/containerd', '/var/lib/kubelet'];

/**
 * The host's own file systems besides `/`, each bound at its place, read-only: a bind of `/` leaves them out, and the
 * command may live on any of them. Reads /proc/self/mountinfo. Bound one by one, so that no kernel file system, no
 * container's and no later mount comes along.
 */
export function hostFileSystems(mountinfo: string, hidden: readonly string[]): OciMount[] {
  const points = new Map<string, string>();
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const point = before.split(' ')[4];
    const type = after.split(' ')[0] ?? '';
    if (point !== undefined && point !== '/') points.set(unescape(point), type);
  }
  return [...points]
    .filter(([, type]) => !kernelTypes.has(type) && !type.startsWith('fuse.'))
    .map(([point]) => point)
    .filter((point) => ![...privateFolders, ...foreign, ...hidden].some((folder) => within(point, folder)))
    .filter((point) => existsSync(point))
    .toSorted()
    .map((point) => bind(point, true));
}

/**
 * Files that a command needs from below a folder that is private to the workload: its program, its working folder, files it
 * names, the resolver's configuration. A checkout in /tmp works like any other.
 */
export function neededFromPrivate(command: readonly string[], dir: string, searchPath: string): OciMount[] {
  const wanted = new Set<string>();
  const want = (file: string, withFolder: boolean): void => {
    for (const place of new Set([file, real(file)])) {
      if (place === undefined || !existsSync(place) || !isPrivate(place)) continue;
      const folder = path.dirname(place);
      const whole = withFolder && !statSync(place).isDirectory() && !privateFolders.includes(folder);
      wanted.add(whole ? folder : place);
    }
  };
  const program = findProgram(command[0] ?? '', searchPath, dir);
  if (program !== undefined) want(program, false);
  if (dir !== '' && !privateFolders.includes(dir)) want(dir, false);
  for (const word of command)
    if (path.isAbsolute(word) && !privateFolders.includes(path.normalize(word))) want(path.normalize(word), true);
  want('/etc/resolv.conf', false);
  const all = [...wanted].toSorted();
  return all
    .filter((place) => !all.some((other) => other !== place && within(place, other)))
    .map((place) => bind(place, true));
}

/** As execvp does; undefined when there is none. */
export function findProgram(name: string, searchPath: string, dir: string, root = '/'): string | undefined {
  const candidates = name.includes('/')
    ? [path.resolve(dir === '' ? '/' : dir, name)]
    : searchPath.split(':').map((folder) => path.join(folder === '' ? '.' : folder, name));
  return candidates.find((file) => {
    const place = root === '/' ? file : insideRoot(root, file);
    return place !== undefined && isProgram(place);
  });
}

/** Where a path leads in another root: its links are that root's too. Undefined when it leads nowhere. */
export function insideRoot(root: string, file: string): string | undefined {
  const ahead = file.split('/');
  let place = root;
  for (let links = 0; ahead.length > 0;) {
    const name = ahead.shift() ?? '';
    if (name === '' || name === '.') continue;
    if (name === '..') {
      if (place !== root) place = path.dirname(place);
      continue;
    }
    const next = path.join(place, name);
    const stat = lstatSync(next, { throwIfNoEntry: false });
    if (stat === undefined || (stat.isSymbolicLink() && ++links > 40)) return undefined;
    if (!stat.isSymbolicLink()) {
      place = next;
      continue;
    }
    const target = readlinkSync(next);
    ahead.unshift(...target.split('/'));
    if (target.startsWith('/')) place = root;
  }
  return place;
}

/** `folder` itself or below it. */
export function within(place: string, folder: string): boolean {
  return place === folder || place.startsWith(folder === '/' ? '/' : `${folder}/`);
}

function isPrivate(place: string): boolean {
  return ['/tmp', '/run', '/var/run'].some((folder) => within(place, folder) && place !== folder);
}

function bind(place: string, readOnly: boolean): OciMount {
  return {
    destination: place,
    type: 'bind',
    source: place,
    options: ['bind', 'rprivate', ...(readOnly ? ['ro'] : [])],
  };
}

function real(file: string): string | undefined {
  try {
    return realpathSync(file);
  } catch {
    return undefined;
  }
}

function isProgram(file: string): boolean {
  try {
    const stat = statSync(file);
    return stat.isFile() && (stat.mode & 0o111) !== 0;
  } catch {
    return false;
  }
}

/** mountinfo writes blanks and the like as octal. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_all, digits: string) => String.fromCodePoint(Number.parseInt(digits, 8)));
}
