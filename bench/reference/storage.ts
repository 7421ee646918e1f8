import { safeDivide, type KindCapacity } from './cpumem.ts';
import {
  addIo,
  deviceOf,
  divide,
  gives,
  isMono,
  isMount,
  isNormal,
  isUnlimited,
  needsPlan,
  noIo,
  plus,
  take,
  volumePlans,
  type Binding,
  type Disk,
  type FreeStorage,
  type Io,
  type VolumePlan,
} from './volume-plans.ts';

// Capacity, deploy and realloc of the reference's storage (reference/scheduling.md sections 4.2 and 4.4), for requests that
// ask for volumes; request equals limit throughout.

const maxDeployCount = 10_000;

export interface StorageNode {
  /** Path -> bytes in all. */
  readonly volumes: ReadonlyMap<string, number>;
  readonly disks: readonly Disk[];
  readonly usage: StorageUsage;
}

interface StorageUsage {
  /** Path -> bytes. */
  readonly volumes: ReadonlyMap<string, number>;
  readonly io: ReadonlyMap<string, Io>;
}

/** What one workload holds. */
export interface StorageBooking extends StorageUsage {
  readonly bindings: readonly Binding[];
  readonly plan: VolumePlan;
}

/** Section 4.2. */
export function storageCapacity(node: StorageNode, bindings: readonly Binding[]): KindCapacity {
  const size = sum([...node.volumes.values()]);
  return {
    capacity: volumePlans(freeOf(node), bindings, maxDeployCount).length,
    usage: safeDivide(sum([...node.usage.volumes.values()]), size),
    rate: safeDivide(sum(bindings.map((binding) => binding.size)), size),
    weight: 1,
  };
}

export function deployStorage(
  node: StorageNode,
  bindings: readonly Binding[],
  count: number,
): StorageBooking[] | undefined {
  const plans = volumePlans(freeOf(node), bindings, maxDeployCount);
  return plans.length < count ? undefined : plans.slice(0, count).map((plan) => bookingOf(bindings, plan));
}

/** Section 4.4: `bindings` have the new amounts; the node still counts the workload's old ones. */
export function reallocStorage(
  node: StorageNode,
  current: StorageBooking,
  bindings: readonly Binding[],
): StorageBooking | undefined {
  if (!bindings.some(needsPlan)) return bookingOf(bindings, current.plan);
  const free = freeOf(bookStorage(node, current, -1));
  const volumes = new Map([...free.volumes].map(([path, space]) => [path, space.free]));
  const io = new Map(free.disks.map((disk) => [disk.device, disk.io]));
  const taken = new Map<string, Io>();
  const placed = new Map<Binding, { path: string; bytes: number }>();
  const heldAt = (binding: Binding): string | undefined => {
    const old = current.bindings.find((other) => nameOf(other) === nameOf(binding));
    return old === undefined ? undefined : current.plan.volumes.get(old)?.path;
  };
  const lay = (binding: Binding, path: string, bytes: number): boolean => {
    const device = deviceOf(node.disks, path);
    if ((volumes.get(path) ?? 0) < bytes || !gives(io, device, binding.io)) return false;
    volumes.set(path, (volumes.get(path) ?? 0) - bytes);
    take(io, taken, device, binding.io);
    placed.set(binding, { path, bytes });
    return true;
  };

  for (const mount of bindings.filter(isMount)) {
    const device = deviceOf(node.disks, mount.source);
    if (!gives(io, device, mount.io)) return undefined;
    take(io, taken, device, mount.io);
  }
  const others: Binding[] = [];
  for (const binding of bindings.filter((candidate) => isNormal(candidate) || isUnlimited(candidate))) {
    const path = heldAt(binding);
    if (path === undefined) others.push(binding);
    else if (!lay(binding, path, binding.size)) return undefined;
  }
  const mono = bindings.filter(isMono).sort((a, b) => a.size - b.size);
  const monoPath = mono.map(heldAt).find((path) => path !== undefined);
  if (monoPath === undefined) others.push(...mono);
  else {
    const held = sum([...current.plan.volumes].filter(([old]) => isMono(old)).map(([, { bytes }]) => bytes));
    if (sum(mono.map(({ size }) => size)) > held) return undefined;
    for (const [binding, { bytes }] of divide(mono, monoPath, held))
      if (!lay(binding, monoPath, bytes)) return undefined;
  }

  if (others.length === 0) return bookingOf(bindings, { volumes: placed, io: taken });
  const rest: FreeStorage = {
    // What was given back whole counts as used: its size is more than any free amount.
    volumes: new Map(
      [...free.volumes].map(([path, { size }]) => {
        const used = (node.usage.volumes.get(path) ?? 0) > 0;
        return [path, { size: used ? Number.POSITIVE_INFINITY : size, free: volumes.get(path) as number }];
      }),
    ),
    disks: free.disks.map((disk) => ({ ...disk, io: io.get(disk.device) as Io })),
  };
  const [plan] = volumePlans(rest, others, 1);
  if (plan === undefined) return undefined;
  return bookingOf(bindings, { volumes: new Map([...placed, ...plan.volumes]), io: addIo(taken, plan.io) });
}

/** The node after a workload came (1) or went (-1). */
export function bookStorage(node: StorageNode, booking: StorageUsage, sign: 1 | -1): StorageNode {
  const volumes = new Map(node.usage.volumes);
  for (const [path, bytes] of booking.volumes) volumes.set(path, (volumes.get(path) ?? 0) + sign * bytes);
  return { ...node, usage: { volumes, io: addIo(node.usage.io, booking.io, sign) } };
}

function freeOf({ volumes, disks, usage }: StorageNode): FreeStorage {
  return {
    volumes: new Map([...volumes].map(([path, size]) => [path, { size, free: size - (usage.volumes.get(path) ?? 0) }])),
    disks: disks.map((disk) => ({ ...disk, io: plus(disk.io, usage.io.get(disk.device) ?? noIo, -1) })),
  };
}

function bookingOf(bindings: readonly Binding[], plan: VolumePlan): StorageBooking {
  const volumes = new Map<string, number>();
  for (const { path, bytes } of plan.volumes.values()) volumes.set(path, (volumes.get(path) ?? 0) + bytes);
  return { bindings, plan, volumes, io: plan.io };
}

function nameOf({ source, destination, flags }: Binding): string {
  return `${source}:${destination}:${flags}`;
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}
