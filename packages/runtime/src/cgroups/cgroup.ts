import { ioAmounts, ioNames, readIoLimits, type IoLimit, type Limits, type WorkloadStats } from '@eru/engines';
import { EruError, isErrno } from '@eru/kit';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, rmdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { diskNumber } from './block-device.ts';
import type { WantedLimits } from './limits.ts';
import { parseList } from './limits.ts';

/** `io` is called blkio in version 1. */
type Controller = 'cpu' | 'cpuacct' | 'cpuset' | 'memory' | 'pids' | 'freezer' | 'io';

/** Where this machine's control groups are: on v2 one folder for all controllers, on v1 one per controller. */
export interface CgroupTree {
  version: 1 | 2;
  /** Controller -> mount point. */
  mounts: Readonly<Partial<Record<Controller, string>>>;
  /** Every hierarchy in which a runtime makes a group, controllers or not; all must be cleaned. */
  hierarchies: readonly string[];
}

const controllers: readonly Controller[] = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'freezer', 'io'];
const periodUs = 100_000;
/** The kernel takes no smaller quota. */
const leastQuotaUs = 1000;

/** Reads /proc/self/mountinfo. v1 wins where both hold controllers (hybrid): those of v1 are then not on v2. */
export function findCgroups(mountinfo: string): CgroupTree {
  const mounts: Partial<Record<Controller, string>> = {};
  const hierarchies: string[] = [];
  let unified: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    const [type, , options = ''] = after.split(' ');
    if (mountPoint === undefined || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    hierarchies.push(mountPoint);
    if (type === 'cgroup2') unified = mountPoint;
    else
      for (const name of options.replace('blkio', 'io').split(',')) if (isController(name)) mounts[name] ??= mountPoint;
  }
  if (Object.keys(mounts).length > 0 || unified === undefined) return { version: 1, mounts, hierarchies };
  const offered = readIf(path.join(unified, 'cgroup.controllers')).split(/\s+/).filter(isController);
  return {
    version: 2,
    // Accounting of CPU time and the freezer belong to every group of v2.
    mounts: Object.fromEntries([...offered, 'cpuacct', 'freezer'].map((name) => [name, unified])),
    hierarchies,
  };
}

/** The folders of one group, each hierarchy once. */
function groupFolders(tree: CgroupTree, group: string): string[] {
  return tree.hierarchies.map((mount) => path.join(mount, group));
}

export interface CgroupWrite {
  controller: Controller;
  file: string;
  value: string;
}

/** What to write for these limits. A limit that `from` has and `to` has not is lifted. */
export function limitWrites(tree: CgroupTree, to: WantedLimits, from: WantedLimits = {}): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  const add = (controller: Controller, file: string, value: string | number): void => {
    if (tree.mounts[controller] !== undefined) writes.push({ controller, file, value: String(value) });
  };
  const v2 = tree.version === 2;
  if (to.cpu !== undefined || from.cpu !== undefined) {
    const quota = to.cpu === undefined ? undefined : quotaOf(to.cpu);
    if (v2) add('cpu', 'cpu.max', `${quota ?? 'max'} ${periodUs}`);
    else {
      add('cpu', 'cpu.cfs_period_us', periodUs);
      add('cpu', 'cpu.cfs_quota_us', quota ?? -1);
    }
  }
  if (to.shares !== undefined || from.shares !== undefined) {
    const shares = to.shares ?? 1024;
    if (v2) add('cpu', 'cpu.weight', weightOf(shares));
    else add('cpu', 'cpu.shares', shares);
  }
  if (to.pids !== undefined || from.pids !== undefined) add('pids', 'pids.max', to.pids ?? 'max');
  if (to.memoryNodes !== undefined) add('cpuset', 'cpuset.mems', to.memoryNodes.join(','));
  if (to.cpuset !== undefined) add('cpuset', 'cpuset.cpus', to.cpuset.join(','));
  // Lifting a list needs the parent's on v1, and an empty one on v2.
  else if (from.cpuset !== undefined) add('cpuset', 'cpuset.cpus', v2 ? '\n' : 'parent');
  if (to.memoryNodes === undefined && from.memoryNodes !== undefined)
    add('cpuset', 'cpuset.mems', v2 ? '\n' : 'parent');
  if (to.memoryBytes !== undefined || from.memoryBytes !== undefined) writes.push(...memoryWrites(tree, to, from));
  if (tree.mounts.io !== undefined) writes.push(...ioWrites(tree.version, to.io, from.io));
  return writes;
}

/** Device by device; what only `from` limits is lifted. */
function ioWrites(version: 1 | 2, to: readonly IoLimit[] = [], from: readonly IoLimit[] = []): CgroupWrite[] {
  const writes: CgroupWrite[] = [];
  for (const device of new Set([...to, ...from].map((limit) => limit.device))) {
    const [wanted, before] = [to, from].map((limits) => limits.find((limit) => limit.device === device));
    const number = diskNumber(device);
    const changed = ioAmounts.filter((amount) => (wanted?.[amount] ?? before?.[amount]) !== undefined);
    if (version === 2) {
      const values = changed.map((amount) => `${ioNames[amount].key}=${wanted?.[amount] ?? 'max'}`);
      writes.push({ controller: 'io', file: 'io.max', value: [number, ...values].join(' ') });
      continue;
    }
    for (const amount of changed)
      writes.push({ controller: 'io', file: ioNames[amount].file, value: `${number} ${wanted?.[amount] ?? 0}` });
  }
  return writes;
}

/** Memory and swap together are bound by the same number: a workload at its limit is killed, not swapped. */
function memoryWrites(tree: CgroupTree, to: WantedLimits, from: WantedLimits): CgroupWrite[] {
  const write = (file: string, value: number | string): CgroupWrite => ({
    controller: 'memory',
    file,
    value: String(value),
  });
  if (tree.mounts.memory === undefined) return [];
  if (tree.version === 2)
    return [
      write('memory.max', to.memoryBytes ?? 'max'),
      write('memory.swap.max', to.memoryBytes === undefined ? 'max' : 0),
    ];
  const both = [
    write('memory.limit_in_bytes', to.memoryBytes ?? -1),
    write('memory.memsw.limit_in_bytes', to.memoryBytes ?? -1),
  ];
  // The larger of the two limits must be the larger at every moment.
  const grows = to.memoryBytes === undefined || to.memoryBytes > (from.memoryBytes ?? Number.POSITIVE_INFINITY);
  return grows ? both.toReversed() : both;
}

/** Makes the group wherever this machine has room for it. Its parent may go meanwhile: another daemon removes it when it is empty. */
export async function makeGroup(tree: CgroupTree, group: string): Promise<void> {
  for (const mount of new Set(Object.values(tree.mounts))) {
    for (let attempt = 1; ; attempt++) {
      try {
        await makeFolders(tree, mount, group);
        break;
      } catch (error) {
        if (!isErrno(error, 'ENOENT') || attempt === 10) throw error;
      }
    }
  }
}

async function makeFolders(tree: CgroupTree, mount: string, group: string): Promise<void> {
  let folder = mount;
  for (const part of group.split('/').filter((name) => name !== '')) {
    if (tree.version === 2) await enableControllers(tree, folder);
    const parent = folder;
    folder = path.join(folder, part);
    await mkdir(folder).catch(ignore('EEXIST'));
    if (tree.version === 1 && mount === tree.mounts.cpuset) await inheritCpuset(parent, folder);
  }
}

/** Writes one by one; an optional file (no swap accounting) may be missing. Throws `failed` with what the kernel said. */
export async function writeLimits(tree: CgroupTree, group: string, writes: readonly CgroupWrite[]): Promise<void> {
  for (const { controller, file, value } of writes) {
    const target = path.join(tree.mounts[controller] ?? '', group, file);
    const parent = path.join(tree.mounts[controller] ?? '', path.dirname(group), file);
    try {
      await writeFile(target, value === 'parent' ? readIf(parent) : value, { flag: 'r+' });
    } catch (cause) {
      if (isErrno(cause, 'ENOENT') && /swap|memsw/.test(file)) continue;
      throw new EruError('failed', `${target}: cannot set ${value.trim()}: ${(cause as Error).message}`, { cause });
    }
  }
}

/** What the kernel holds now; undefined when the group is not there. */
export function readLimits(tree: CgroupTree, group: string): Limits | undefined {
  const read = (controller: Controller, file: string): string => readGroup(tree, controller, group, file).trim();
  if (!groupExists(tree, group)) return undefined;
  const limits: Limits = {};
  const v2 = tree.version === 2;
  const [quota, period] = v2
    ? read('cpu', 'cpu.max').split(' ')
    : [read('cpu', 'cpu.cfs_quota_us'), read('cpu', 'cpu.cfs_period_us')];
  if (Number(quota) > 0 && Number(period) > 0) limits.cpu = Number(quota) / Number(period);
  const memory = Number(read('memory', v2 ? 'memory.max' : 'memory.limit_in_bytes') || Number.NaN);
  // v1 says "no limit" as the largest number of pages.
  if (memory < 2 ** 62) limits.memoryBytes = memory;
  const pids = Number(read('pids', 'pids.max') || Number.NaN);
  if (Number.isFinite(pids)) limits.pids = pids;
  const cores = read('cpuset', v2 ? 'cpuset.cpus.effective' : 'cpuset.cpus');
  if (cores !== '' && cores !== parentOf(tree, group, v2 ? 'cpuset.cpus.effective' : 'cpuset.cpus'))
    limits.cpuset = parseList(cores);
  const nodes = read('cpuset', v2 ? 'cpuset.mems.effective' : 'cpuset.mems');
  if (nodes !== '' && nodes !== parentOf(tree, group, v2 ? 'cpuset.mems.effective' : 'cpuset.mems'))
    limits.memoryNodes = parseList(nodes);
  const io = readIoLimits(tree.version, (file) => readGroup(tree, 'io', group, file));
  if (io.length > 0) limits.io = io;
  return limits;
}

/** How often the kernel killed something of the group for want of memory. */
export function readOomKills(tree: CgroupTree, group: string): number {
  const file = tree.version === 2 ? 'memory.events' : 'memory.oom_control';
  return field(readGroup(tree, 'memory', group, file), 'oom_kill');
}

/** Writes the limits to a group for the moment, so that what the kernel refuses or rounds is known at once. */
export async function tryLimits(tree: CgroupTree, group: string, limits: WantedLimits): Promise<Limits> {
  const writes = limitWrites(tree, limits);
  if (writes.length === 0) return {};
  try {
    await makeGroup(tree, group);
    await writeLimits(tree, group, writes);
    return readLimits(tree, group) ?? {};
  } finally {
    await removeGroup(tree, group);
  }
}

export type Usage = Omit<WorkloadStats, 'atMs'>;

export function readUsage(tree: CgroupTree, group: string): Usage | undefined {
  if (!groupExists(tree, group)) return undefined;
  const read = (controller: Controller, file: string): string => readGroup(tree, controller, group, file);
  const v2 = tree.version === 2;
  const cpu = read('cpu', 'cpu.stat');
  const total = Number(read('memory', v2 ? 'memory.current' : 'memory.usage_in_bytes'));
  // File pages that the kernel can drop at once are not what a workload needs; docker and kubernetes count alike.
  const droppable = field(read('memory', 'memory.stat'), v2 ? 'inactive_file' : 'total_inactive_file');
  return {
    cpuSeconds: v2 ? field(cpu, 'usage_usec') / 1e6 : Number(read('cpuacct', 'cpuacct.usage')) / 1e9,
    memoryBytes: Math.max(0, total - droppable),
    pids: tree.mounts.pids === undefined ? groupProcesses(tree, group).length : Number(read('pids', 'pids.current')),
    cpuThrottledSeconds: v2 ? field(cpu, 'throttled_usec') / 1e6 : field(cpu, 'throttled_time') / 1e9,
    oomKills: readOomKills(tree, group),
  };
}

/** Pids in the group, as this process sees them. */
export function groupProcesses(tree: CgroupTree, group: string): number[] {
  const pids = new Set<number>();
  for (const folder of groupFolders(tree, group))
    for (const line of readIf(path.join(folder, 'cgroup.procs')).split('\n')) pids.add(Number(line));
  // 0 stands for a process that cannot be seen from here; a signal to it would be one to ourselves.
  return [...pids].filter((pid) => pid > 0);
}

export function groupExists(tree: CgroupTree, group: string): boolean {
  return Object.values(tree.mounts).some((mount) => existsSync(path.join(mount, group)));
}

/** Removes the group and what runtimes nested in it; not there is fine. A group with processes stays: `busy`. */
export async function removeGroup(tree: CgroupTree, group: string): Promise<void> {
  for (const folder of groupFolders(tree, group)) await removeTree(folder);
}

/** Removes a group that holds no other; one that does is left as it is. */
export async function removeEmptyGroup(tree: CgroupTree, group: string): Promise<void> {
  for (const folder of groupFolders(tree, group)) await rmdir(folder).catch(() => {}); // Not empty, not there, not ours: all fine.
}

async function removeTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(path.join(folder, entry.name));
  try {
    await rmdir(folder);
  } catch (cause) {
    if (isErrno(cause, 'ENOENT') || isErrno(cause, 'EROFS') || isErrno(cause, 'EACCES')) return;
    throw new EruError('busy', `${folder}: cannot be removed yet: ${(cause as Error).message}`, { cause });
  }
}

/** One controller after the other: a missing one must not take the rest with it. Refused near the root of a container: seen later in what is read back. */
async function enableControllers(tree: CgroupTree, folder: string): Promise<void> {
  const enabled = readIf(path.join(folder, 'cgroup.subtree_control')).split(/\s+/);
  for (const controller of ['cpu', 'cpuset', 'memory', 'pids', 'io']) {
    if (enabled.includes(controller) || tree.mounts[controller as Controller] === undefined) continue;
    await writeFile(path.join(folder, 'cgroup.subtree_control'), `+${controller}`, { flag: 'r+' }).catch(() => {});
  }
}

/** On v1 a new group has no cores and takes no process until it has. */
async function inheritCpuset(parent: string, folder: string): Promise<void> {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    if (readIf(path.join(folder, file)).trim() === '')
      await writeFile(path.join(folder, file), readIf(path.join(parent, file)), { flag: 'r+' });
  }
}

export function quotaOf(cores: number): number {
  return Math.max(leastQuotaUs, Math.round(cores * periodUs));
}

/** v1 shares 2..262144 on v2's scale 1..10000, as runc does it. */
function weightOf(shares: number): number {
  return Math.floor(1 + ((shares - 2) * 9999) / 262_142);
}

function parentOf(tree: CgroupTree, group: string, file: string): string {
  // The nearest group of ours above it: a list that is the same as there binds nothing.
  return readGroup(tree, 'cpuset', path.dirname(group), file).trim();
}

function readGroup(tree: CgroupTree, controller: Controller, group: string, file: string): string {
  const mount = tree.mounts[controller];
  return mount === undefined ? '' : readIf(path.join(mount, group, file));
}

function readIf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
}

function isController(name: string): name is Controller {
  return (controllers as readonly string[]).includes(name);
}

function ignore(code: string): (error: unknown) => void {
  return (error) => {
    if (!isErrno(error, code)) throw error;
  };
}
