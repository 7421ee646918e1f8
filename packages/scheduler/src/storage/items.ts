import { formatBinding, roleOf, type Binding, type Role } from './binding.ts';
import { hasIo, type Io } from './io.ts';
import type { StorageRequest, Volume } from './request.ts';

/** A binding as the planner packs it. Bytes, and IO per second. */
export interface Item {
  readonly binding: Binding;
  /** Full text of the binding, its key in a volume plan. */
  readonly text: string;
  readonly size: number;
  readonly io: Io;
  /** Its request or its limit has IO: an IO limit on no disk could never be enforced. */
  readonly needsDisk: boolean;
}

/** A workload's bindings by what they mean (section 4.3, step 2). */
export interface Items {
  /** Rising in size. */
  readonly normal: readonly Item[];
  /** Rising in size. */
  readonly mono: readonly Item[];
  readonly unlimited: readonly Item[];
  /** Only those with IO: the others take nothing. */
  readonly mounts: readonly Item[];
  /** Whether any of them looks at the disks at all. */
  readonly needDisks: boolean;
}

export function itemsOf({ volumes }: Pick<StorageRequest, 'volumes'>): Items {
  const items = volumes.map(itemOf);
  const of = (role: Role): Item[] => items.filter((item) => packedAs(item) === role);
  const rising = (a: Item, b: Item): number => a.size - b.size;
  return {
    normal: of('normal').sort(rising),
    mono: of('mono').sort(rising),
    unlimited: of('unlimited'),
    mounts: of('mount').filter(({ needsDisk }) => needsDisk),
    needDisks: items.some(({ needsDisk }) => needsDisk),
  };
}

/** What reserves nothing but is to be limited in its IO must find a disk, so it is packed like the rest. */
function packedAs({ binding, needsDisk }: Item): Role {
  const role = roleOf(binding);
  return role === 'unlimited' && needsDisk ? 'normal' : role;
}

function itemOf({ request, limit }: Volume): Item {
  const { size, io } = request;
  return { binding: request, text: formatBinding(request), size, io, needsDisk: hasIo(io) || hasIo(limit.io) };
}
