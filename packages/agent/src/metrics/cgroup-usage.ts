import path from 'node:path';

import { fieldOf, readIf } from './proc-files.ts';
import type { Disk, PressureKind, Usage } from './usage.ts';

/** `unified` is version 2's one tree. */
type Controller = 'unified' | 'cpu' | 'cpuacct' | 'memory' | 'pids' | 'blkio';
/** Folder of one group for each controller that has it. */
export type GroupFolders = Readonly<Partial<Record<Controller, string>>>;

const controllers: readonly Controller[] = ['cpu', 'cpuacct', 'memory', 'pids', 'blkio'];
/** Ticks of /proc and of cgroup v1's cpuacct.stat (USER_HZ), the same on every Linux that Node runs on. */
const ticksPerSecond = 100;
/** From here on a v1 limit means none: the largest number of pages. */
const unlimited = 2 ** 62;

/**
 * Where the control groups of a process are. A controller in which the process shares its group with whoever asks, or has
 * none, is left out: those figures would be of others.
 */
export function groupFolders(proc: string, pid: number, mounts: CgroupMounts): GroupFolders {
  const own = parseGroups(readIf(path.join(proc, 'self/cgroup')));
  const folders: Partial<Record<Controller, string>> = {};
  for (const [controller, group] of parseGroups(readIf(path.join(proc, String(pid), 'cgroup')))) {
    const mount = mounts.get(controller);
    if (mount === undefined || group === '/' || group === own.get(controller)) continue;
    const below = group.startsWith(mount.root) ? group.slice(mount.root.length) : group;
    folders[controller] = path.join(mount.folder, below);
  }
  return folders;
}

/** `4:cpu,cpuacct:/eru/x` and `0::/eru/x`. */
function parseGroups(text: string): Map<Controller, string> {
  const groups = new Map<Controller, string>();
  for (const line of text.split('\n')) {
    const [, names, group] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (names === undefined || group === undefined) continue;
    if (names === '') groups.set('unified', group);
    for (const name of controllers) if (names.split(',').includes(name)) groups.set(name, group);
  }
  return groups;
}

export type CgroupMounts = ReadonlyMap<Controller, { root: string; folder: string }>;

/** Where this process sees the control groups. */
export function cgroupMounts(proc: string): CgroupMounts {
  const mounts = new Map<Controller, { root: string; folder: string }>();
  for (const line of readIf(path.join(proc, 'self/mountinfo')).split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '/', folder = ''] = before.split(' ');
    const [type, , options = ''] = after.split(' ');
    const mount = { root: root === '/' ? '' : root, folder };
    if (type === 'cgroup2' && !mounts.has('unified')) mounts.set('unified', mount);
    if (type !== 'cgroup') continue;
    for (const name of controllers) if (options.split(',').includes(name) && !mounts.has(name)) mounts.set(name, mount);
  }
  return mounts;
}

type CgroupUsage = Pick<Usage, 'cpu' | 'memory' | 'pids' | 'pressure' | 'disks'>;

/** What the groups have counted; version 1's trees where they hold something, else version 2's. */
export function readGroups(folders: GroupFolders, diskName: (device: string) => string): CgroupUsage {
  const legacy = folders.memory !== undefined || folders.cpuacct !== undefined;
  return legacy ? readLegacy(folders, diskName) : readUnified(folders.unified, diskName);
}

function readUnified(folder: string | undefined, diskName: (device: string) => string): CgroupUsage {
  if (folder === undefined) return { disks: {} };
  const read = (file: string): string => readIf(path.join(folder, file));
  const cpu = read('cpu.stat');
  const seconds = (name: string): number | undefined => scaled(fieldOf(cpu, name), 1e-6);
  const [quota, period] = read('cpu.max').split(' ').map(Number);
  const memory = read('memory.stat');
  const usage = numberOf(read('memory.current'));
  const total = seconds('usage_usec');
  return given({
    cpu:
      total === undefined
        ? undefined
        : given({
            seconds: total,
            user: seconds('user_usec'),
            system: seconds('system_usec'),
            periods: fieldOf(cpu, 'nr_periods'),
            throttledPeriods: fieldOf(cpu, 'nr_throttled'),
            throttledSeconds: seconds('throttled_usec'),
            limit: quota !== undefined && period !== undefined && quota > 0 ? quota / period : undefined,
          }),
    memory:
      usage === undefined
        ? undefined
        : given({
            usage,
            workingSet: Math.max(0, usage - (fieldOf(memory, 'inactive_file') ?? 0)),
            peak: numberOf(read('memory.peak')),
            rss: fieldOf(memory, 'anon'),
            limit: numberOf(read('memory.max')),
            oomKills: fieldOf(read('memory.events'), 'oom_kill'),
          }),
    pids: numberOf(read('pids.current')),
    pressure: pressures(read),
    disks: unifiedDisks(read('io.stat'), diskName),
  }) as CgroupUsage;
}

function readLegacy(folders: GroupFolders, diskName: (device: string) => string): CgroupUsage {
  const read = (controller: Controller, file: string): string => {
    const folder = folders[controller];
    return folder === undefined ? '' : readIf(path.join(folder, file));
  };
  const throttling = read('cpu', 'cpu.stat');
  const times = read('cpuacct', 'cpuacct.stat');
  const quota = numberOf(read('cpu', 'cpu.cfs_quota_us')) ?? -1;
  const period = numberOf(read('cpu', 'cpu.cfs_period_us')) ?? 0;
  const total = scaled(numberOf(read('cpuacct', 'cpuacct.usage')), 1e-9);
  const memory = read('memory', 'memory.stat');
  const usage = numberOf(read('memory', 'memory.usage_in_bytes'));
  const limit = numberOf(read('memory', 'memory.limit_in_bytes')) ?? unlimited;
  const disks: Record<string, Disk> = {};
  addLegacyDisks(disks, read('blkio', 'blkio.throttle.io_service_bytes'), ['readBytes', 'writeBytes'], diskName);
  addLegacyDisks(disks, read('blkio', 'blkio.throttle.io_serviced'), ['reads', 'writes'], diskName);
  return given({
    cpu:
      total === undefined
        ? undefined
        : given({
            seconds: total,
            user: scaled(fieldOf(times, 'user'), 1 / ticksPerSecond),
            system: scaled(fieldOf(times, 'system'), 1 / ticksPerSecond),
            periods: fieldOf(throttling, 'nr_periods'),
            throttledPeriods: fieldOf(throttling, 'nr_throttled'),
            throttledSeconds: scaled(fieldOf(throttling, 'throttled_time'), 1e-9),
            limit: quota > 0 && period > 0 ? quota / period : undefined,
          }),
    memory:
      usage === undefined
        ? undefined
        : given({
            usage,
            workingSet: Math.max(0, usage - (fieldOf(memory, 'total_inactive_file') ?? 0)),
            peak: numberOf(read('memory', 'memory.max_usage_in_bytes')),
            rss: fieldOf(memory, 'total_rss'),
            limit: limit < unlimited ? limit : undefined,
            oomKills: fieldOf(read('memory', 'memory.oom_control'), 'oom_kill'),
          }),
    pids: numberOf(read('pids', 'pids.current')),
    disks,
  }) as CgroupUsage;
}

function pressures(read: (file: string) => string): NonNullable<Usage['pressure']> {
  const kinds: readonly PressureKind[] = ['cpu', 'memory', 'io'];
  const found = kinds.flatMap((kind) => {
    const text = read(`${kind}.pressure`);
    const total = (share: string): number =>
      Number(new RegExp(`^${share} .*total=(\\d+)`, 'm').exec(text)?.[1] ?? 0) / 1e6;
    return text === '' ? [] : [[kind, { some: total('some'), full: total('full') }] as const];
  });
  return Object.fromEntries(found);
}

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …` */
function unifiedDisks(text: string, diskName: (device: string) => string): Record<string, Disk> {
  const disks: Record<string, Disk> = {};
  for (const line of text.split('\n')) {
    const [device, ...figures] = line.split(' ');
    if (device === undefined || figures.length === 0) continue;
    const at = (name: string): number => Number(figures.find((one) => one.startsWith(`${name}=`))?.split('=')[1] ?? 0);
    disks[diskName(device)] = {
      readBytes: at('rbytes'),
      writeBytes: at('wbytes'),
      reads: at('rios'),
      writes: at('wios'),
    };
  }
  return disks;
}

/** `8:0 Read 1` and `8:0 Write 2`, one file for bytes and one for operations. */
function addLegacyDisks(
  disks: Record<string, Disk>,
  text: string,
  [read, write]: [keyof Disk, keyof Disk],
  diskName: (device: string) => string,
): void {
  for (const [, device = '', operation, figure] of text.matchAll(/^(\d+:\d+) (Read|Write) (\d+)$/gm)) {
    const disk = (disks[diskName(device)] ??= { readBytes: 0, writeBytes: 0, reads: 0, writes: 0 });
    disk[operation === 'Read' ? read : write] = Number(figure);
  }
}

/** Undefined for `max`, nothing, or anything else that is no number. */
function numberOf(text: string): number | undefined {
  return /^-?\d+\s*$/.test(text) ? Number(text) : undefined;
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}

function given<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
