import { formatBinding, roleOf, type Binding } from './binding.ts';
import { hasIo, type Io } from './io.ts';
import type { Holdings } from './node.ts';

// Section 4.3 of the reference, step by step and as slow as it reads: every plan is made, one after the other. The planner
// counts without making plans; the tests hold it to this.

/** Full text of each scheduled binding -> [path of its volume, bytes]; and the IO taken, by device. */
export interface EnumeratedPlan {
  readonly volumes: Readonly<Record<string, readonly [path: string, bytes: number]>>;
  readonly io: Readonly<Record<string, Io>>;
}

interface Volume {
  readonly path: string;
  readonly size: number;
}

interface Disk {
  readonly device: string;
  readonly mounts: readonly string[];
  readonly io: number[];
}

/** The state that plans are taken from: volumes by path with the bytes left, disks with the IO left. */
interface State {
  readonly used: { path: string; size: number }[];
  readonly unused: { path: string; size: number }[];
  readonly disks: Disk[];
}

type Taken = Record<string, readonly [path: string, bytes: number]>;
type Draft = { volumes: Taken; io: Record<string, [number, number, number, number]> };

export function enumerate(
  capacity: Holdings,
  usage: Holdings,
  requests: readonly Binding[],
  n: number,
): EnumeratedPlan[] {
  // 1. No request is scheduled or has IO: N empty plans.
  if (!requests.some((request) => roleOf(request) !== 'mount' || hasIo(request.io))) return empty(n);

  // 2. Split the requests. Scheduled requests but no volume on the node: no plan.
  const of = (role: string): Binding[] => requests.filter((request) => roleOf(request) === role);
  const bySize = (a: Binding, b: Binding): number => a.size - b.size;
  const [mono, normal, unlimited, mounts] = [
    of('mono').sort(bySize),
    of('normal').sort(bySize),
    of('unlimited'),
    of('mount'),
  ];
  if (mono.length + normal.length + unlimited.length > 0 && Object.keys(capacity.volumes).length === 0) return [];

  // 3. Volumes with usage 0 are unused, others used, both sorted by (size, path).
  const volumes = Object.entries(capacity.volumes).map(([path, size]) => ({
    path,
    size: size - (usage.volumes[path] ?? 0),
  }));
  const isUsed = ({ path }: Volume): boolean => (usage.volumes[path] ?? 0) > 0;
  const used = volumes.filter(isUsed).sort(byFree);
  const unused = volumes.filter((volume) => !isUsed(volume)).sort(byFree);
  const fresh = (): State => ({
    used: used.map((volume) => ({ ...volume })),
    unused: unused.map((volume) => ({ ...volume })),
    disks: capacity.disks.map(({ device, mounts, io }) => {
      const taken = usage.disks.find((disk) => disk.device === device)?.io ?? [0, 0, 0, 0];
      return { device, mounts, io: io.map((amount, index) => amount - (taken[index] as number)) };
    }),
  });

  // 4. Compute both lists; while there are more mono plans, open an unused volume and compute both again.
  let state = fresh();
  let normals = normalPlans(state, normal, mounts, n);
  let monos = monoPlans(state, mono, n);
  while (monos.length > normals.length) {
    const next = unused.findIndex(({ size }) => normal[0] !== undefined && size >= normal[0].size);
    if (next < 0) break;
    used.push(...unused.splice(next, 1));
    state = fresh();
    normals = normalPlans(state, normal, mounts, n);
    monos = monoPlans(state, mono, n);
  }

  // 5. All plans taken from copies of the volumes, the one with the most space left serves every unlimited request.
  const copies = [...used, ...unused].map((volume) => ({ ...volume }));
  for (const [path, bytes] of [...normals, ...monos].flatMap(({ volumes }) => Object.values(volumes))) {
    for (const copy of copies) if (copy.path === path) copy.size -= bytes;
  }
  const most = copies.reduce<Volume | undefined>(
    (best, copy) => (best && best.size >= copy.size ? best : copy),
    undefined,
  );
  const anywhere: Taken = Object.fromEntries(
    unlimited.map((request) => [formatBinding(request), [most?.path ?? '', 0]]),
  );

  // 6. Plan i = normal i + mono i + unlimited.
  return Array.from({ length: Math.min(normals.length, monos.length) }, (_, index) => {
    const [left, right] = [normals[index] as Draft, monos[index] as Draft];
    const io: Record<string, Io> = {};
    for (const device of Object.keys({ ...left.io, ...right.io })) {
      const at = (dimension: number): number =>
        (left.io[device]?.[dimension] ?? 0) + (right.io[device]?.[dimension] ?? 0);
      io[device] = [at(0), at(1), at(2), at(3)];
    }
    return { volumes: { ...left.volumes, ...right.volumes, ...anywhere }, io };
  });
}

/** Each normal request on the smallest used volume that has its size and IO, then the mounts' IO, until something fails. */
function normalPlans({ used, disks }: State, normal: Binding[], mounts: Binding[], n: number): Draft[] {
  if (normal.length === 0 && !mounts.some(({ io }) => hasIo(io))) return empty(n);
  const plans: Draft[] = [];
  while (plans.length < n) {
    const plan: Draft = { volumes: {}, io: {} };
    for (const request of normal) {
      const volume = used
        .sort(byFree)
        .find(({ path, size }) => size >= request.size && gives(diskOf(disks, path), request.io));
      if (volume === undefined) return plans;
      volume.size -= request.size;
      takeIo(plan, diskOf(disks, volume.path), request.io);
      plan.volumes[formatBinding(request)] = [volume.path, request.size];
    }
    for (const mount of mounts) {
      const disk = diskOf(disks, mount.source);
      if (!gives(disk, mount.io)) return plans;
      takeIo(plan, disk, mount.io);
    }
    plans.push(plan);
  }
  return plans;
}

/** One unused volume each, all of it, divided in proportion to the sizes; the rest of the division to the first. */
function monoPlans({ unused, disks }: State, mono: Binding[], n: number): Draft[] {
  if (mono.length === 0) return empty(n);
  const size = mono.reduce((sum, request) => sum + request.size, 0);
  const io = [0, 1, 2, 3].map((dimension) => mono.reduce((sum, request) => sum + (request.io[dimension] as number), 0));
  const plans: Draft[] = [];
  for (const volume of unused) {
    const disk = diskOf(disks, volume.path);
    if (volume.size < size || !gives(disk, io)) continue;
    const plan: Draft = { volumes: {}, io: {} };
    takeIo(plan, disk, io);
    const parts = mono.map((request) =>
      Math.floor(size === 0 ? volume.size / mono.length : (volume.size * request.size) / size),
    );
    parts[0] = (parts[0] as number) + volume.size - parts.reduce((sum, part) => sum + part, 0);
    for (const [index, request] of mono.entries())
      plan.volumes[formatBinding(request)] = [volume.path, parts[index] as number];
    plans.push(plan);
  }
  return plans;
}

function empty(n: number): Draft[] {
  return Array.from({ length: n }, () => ({ volumes: {}, io: {} }));
}

function byFree(a: Volume, b: Volume): number {
  return a.size - b.size || (a.path < b.path ? -1 : 1);
}

/** The disk with the mount that is a prefix of the path by whole components, the deepest first. */
function diskOf(disks: readonly Disk[], path: string): Disk | undefined {
  const folders = path.split('/').map((_, index, parts) => parts.slice(0, index + 1).join('/') || '/');
  for (const folder of folders.reverse()) {
    const disk = disks.find(({ mounts }) => mounts.includes(folder));
    if (disk !== undefined) return disk;
  }
  return undefined;
}

/** No disk is one with limits of 0. */
function gives(disk: Disk | undefined, io: readonly number[]): boolean {
  return io.every((amount, dimension) => (disk?.io[dimension] ?? 0) >= amount);
}

function takeIo(plan: Draft, disk: Disk | undefined, io: readonly number[]): void {
  if (disk === undefined) return;
  const taken = (plan.io[disk.device] ??= [0, 0, 0, 0]);
  for (const [dimension, amount] of io.entries()) {
    disk.io[dimension] = (disk.io[dimension] as number) - amount;
    taken[dimension] = (taken[dimension] as number) + amount;
  }
}
