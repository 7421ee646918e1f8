// The reference's way to lay volumes on a node (reference/scheduling.md section 4.3), step by step as the text has it: the
// storage half of the yardstick.

/** Read and write IOPS, read and write bytes per second. */
export type Io = readonly [number, number, number, number];

export const noIo: Io = [0, 0, 0, 0];

export interface Binding {
  readonly source: string;
  readonly destination: string;
  readonly flags: string;
  /** Bytes. */
  readonly size: number;
  readonly io: Io;
}

export interface Disk {
  readonly device: string;
  readonly mounts: readonly string[];
  /** What is free. */
  readonly io: Io;
}

/** What is free on a node. */
export interface FreeStorage {
  /** Path -> size in all and free of it. */
  readonly volumes: ReadonlyMap<string, { readonly size: number; readonly free: number }>;
  readonly disks: readonly Disk[];
}

export interface VolumePlan {
  /** Where each scheduled binding lies, by its place in the request. */
  readonly volumes: ReadonlyMap<Binding, { readonly path: string; readonly bytes: number }>;
  /** Device -> what it must give. */
  readonly io: ReadonlyMap<string, Io>;
}

/** `src:dst[:flags[:size[:rIOPS:wIOPS:rBPS:wBPS]]]` with sizes in bytes. */
export function parseBinding(text: string): Binding {
  const [source = '', destination = '', flags = '', size = '0', ...io] = text.split(':');
  const [readIops = 0, writeIops = 0, readBps = 0, writeBps = 0] = io.map(Number);
  return {
    source,
    destination,
    flags: (flags || 'rw').split('').sort().join(''),
    size: Number(size),
    io: [readIops, writeIops, readBps, writeBps],
  };
}

const hasIo = ({ io }: Binding): boolean => io.some((amount) => amount > 0);
const isScheduled = ({ source }: Binding): boolean => source === '' || source.endsWith('AUTO');
export const isMono = (binding: Binding): boolean => isScheduled(binding) && binding.flags.includes('m');
export const isUnlimited = (binding: Binding): boolean =>
  isScheduled(binding) && !isMono(binding) && binding.size === 0 && !hasIo(binding);
export const isNormal = (binding: Binding): boolean =>
  isScheduled(binding) && !isMono(binding) && !isUnlimited(binding);
export const isMount = (binding: Binding): boolean => !isScheduled(binding);
export const needsPlan = (binding: Binding): boolean => isScheduled(binding) || hasIo(binding);

/** A volume and its free bytes. */
type Space = readonly [path: string, free: number];

/** Plans are taken from this; a failed attempt leaves it half taken, as in the original. */
interface Rest {
  readonly volumes: Map<string, number>;
  readonly io: Map<string, Io>;
}

const empty: VolumePlan = { volumes: new Map(), io: new Map() };

/** At most `most` plans. */
export function volumePlans(node: FreeStorage, requests: readonly Binding[], most: number): VolumePlan[] {
  // Steps 1 and 2.
  if (!requests.some(needsPlan)) return Array.from({ length: most }, () => empty);
  const bySize = (a: Binding, b: Binding): number => a.size - b.size;
  const mono = requests.filter(isMono).sort(bySize);
  const normal = requests.filter(isNormal).sort(bySize);
  const unlimited = requests.filter(isUnlimited);
  const mounts = requests.filter((binding) => isMount(binding) && hasIo(binding));
  if (requests.some(isScheduled) && node.volumes.size === 0) return [];

  // Step 3.
  const spaces = [...node.volumes].map(([path, { free }]): Space => [path, free]).sort(byFreeThenPath);
  const untouched = ([path, free]: Space): boolean => free === node.volumes.get(path)?.size;
  const used = spaces.filter((space) => !untouched(space));
  const unused = spaces.filter(untouched);

  // Step 4. Undefined stands for as many empty plans as one likes.
  const attempt = (): { normals: VolumePlan[] | undefined; monos: VolumePlan[] | undefined } => {
    const io = new Map(node.disks.map((disk) => [disk.device, disk.io]));
    const rest: Rest = { volumes: new Map(used), io };
    const anything = normal.length > 0 || mounts.length > 0;
    const normals = anything ? normalPlans(node, rest, normal, mounts, most) : undefined;
    const monos = mono.length > 0 ? monoPlans(node, rest.io, unused, mono, most) : undefined;
    return { normals, monos };
  };
  let { normals, monos } = attempt();
  while (normals !== undefined && (monos?.length ?? most) > normals.length) {
    const opened = unused.findIndex(([, size]) => size >= (normal[0]?.size ?? 0));
    if (opened < 0) break;
    used.push(...unused.splice(opened, 1));
    ({ normals, monos } = attempt());
  }

  // Steps 5 and 6.
  const roomiest =
    unlimited.length === 0 ? undefined : roomiestVolume([...used, ...unused], [...(normals ?? []), ...(monos ?? [])]);
  return Array.from({ length: Math.min(normals?.length ?? most, monos?.length ?? most) }, (_, index) => {
    const plan = normals?.[index] ?? empty;
    const other = monos?.[index] ?? empty;
    const free = unlimited.map((binding) => [binding, { path: roomiest ?? '', bytes: 0 }] as const);
    return { volumes: new Map([...plan.volumes, ...other.volumes, ...free]), io: addIo(plan.io, other.io) };
  });
}

function normalPlans(
  node: FreeStorage,
  rest: Rest,
  requests: readonly Binding[],
  mounts: readonly Binding[],
  most: number,
): VolumePlan[] {
  const plans: VolumePlan[] = [];
  while (plans.length < most) {
    const plan = { volumes: new Map<Binding, { path: string; bytes: number }>(), io: new Map<string, Io>() };
    for (const binding of requests) {
      let chosen: Space | undefined;
      for (const space of rest.volumes) {
        const [path, free] = space;
        if (free < binding.size || !gives(rest.io, deviceOf(node.disks, path), binding.io)) continue;
        if (chosen === undefined || byFreeThenPath(space, chosen) < 0) chosen = space;
      }
      if (chosen === undefined) return plans;
      const [path, free] = chosen;
      rest.volumes.set(path, free - binding.size);
      take(rest.io, plan.io, deviceOf(node.disks, path), binding.io);
      plan.volumes.set(binding, { path, bytes: binding.size });
    }
    for (const mount of mounts) {
      const device = deviceOf(node.disks, mount.source);
      if (!gives(rest.io, device, mount.io)) return plans;
      take(rest.io, plan.io, device, mount.io);
    }
    plans.push(plan);
  }
  return plans;
}

function monoPlans(
  node: FreeStorage,
  io: Map<string, Io>,
  unused: readonly Space[],
  requests: readonly Binding[],
  most: number,
): VolumePlan[] {
  const size = requests.reduce((sum, binding) => sum + binding.size, 0);
  const needed = requests.reduce((sum, binding) => plus(sum, binding.io), noIo);
  const plans: VolumePlan[] = [];
  for (const [path, free] of unused) {
    const device = deviceOf(node.disks, path);
    if (plans.length === most || free < size || !gives(io, device, needed)) continue;
    const plan = { volumes: divide(requests, path, free), io: new Map<string, Io>() };
    take(io, plan.io, device, needed);
    plans.push(plan);
  }
  return plans;
}

/** A whole volume in proportion to the sizes asked for; what truncation leaves goes to the first. */
export function divide(requests: readonly Binding[], path: string, whole: number): VolumePlan['volumes'] {
  const sum = requests.reduce((total, { size }) => total + size, 0);
  const parts = requests.map(({ size }) => Math.floor(sum === 0 ? whole / requests.length : (whole * size) / sum));
  parts[0] = (parts[0] ?? 0) + whole - parts.reduce((total, part) => total + part, 0);
  return new Map(requests.map((binding, index) => [binding, { path, bytes: parts[index] as number }]));
}

function roomiestVolume(spaces: readonly Space[], plans: readonly VolumePlan[]): string | undefined {
  const left = new Map(spaces);
  for (const { path, bytes } of plans.flatMap(({ volumes }) => [...volumes.values()])) {
    left.set(path, (left.get(path) ?? 0) - bytes);
  }
  return [...left].sort(([, a], [, b]) => b - a)[0]?.[0];
}

function byFreeThenPath([pathA, freeA]: Space, [pathB, freeB]: Space): number {
  return freeA - freeB || (pathA < pathB ? -1 : 1);
}

/** The disk with the deepest mount above this path; '' where there is none. */
export function deviceOf(disks: readonly Disk[], path: string): string {
  let [device, depth] = ['', -1];
  for (const disk of disks) {
    for (const mount of disk.mounts) {
      const above = mount === '/' || path === mount || path.startsWith(`${mount}/`);
      if (above && mount.length > depth) [device, depth] = [disk.device, mount.length];
    }
  }
  return device;
}

export function gives(io: ReadonlyMap<string, Io>, device: string, needed: Io): boolean {
  const free = io.get(device) ?? noIo;
  return needed.every((amount, index) => amount <= (free[index] as number));
}

export function take(from: Map<string, Io>, to: Map<string, Io>, device: string, amount: Io): void {
  if (device === '') return;
  from.set(device, plus(from.get(device) ?? noIo, amount, -1));
  to.set(device, plus(to.get(device) ?? noIo, amount));
}

export function addIo(
  left: ReadonlyMap<string, Io>,
  right: ReadonlyMap<string, Io>,
  sign: 1 | -1 = 1,
): Map<string, Io> {
  const sum = new Map(left);
  for (const [device, amount] of right) sum.set(device, plus(sum.get(device) ?? noIo, amount, sign));
  return sum;
}

export function plus(left: Io, right: Io, sign: 1 | -1 = 1): Io {
  return [left[0] + sign * right[0], left[1] + sign * right[1], left[2] + sign * right[2], left[3] + sign * right[3]];
}
