import type { Allotment } from '../kind.ts';
import type { Amounts } from '../amounts.ts';
import { engineParams, formatBooking, type Booking } from './booking.ts';
import { addDisks, diskOf, type Disk } from './disk.ts';
import { hasIo, type Io } from './io.ts';
import { asksNothing, type StorageRequest } from './request.ts';
import type { Bin } from './model.ts';
import type { Space } from './space.ts';
import type { Placement, Plan } from './volume-plans.ts';

/** What a workload holds that got this plan. */
export function bookingOf(space: Space, request: StorageRequest, plan: Plan): Booking {
  const placed = new Map(plan.map((placement) => [placement.item.binding.target, placement]));
  const disks = (amount: (volume: StorageRequest['volumes'][number]) => Io): Disk[] =>
    request.volumes.reduce<Disk[]>((sum, volume) => {
      const io = amount(volume);
      const disk = hasIo(io) ? diskAt(space, volume.request.source, placed.get(volume.request.target)) : undefined;
      return disk === undefined ? sum : addDisks(sum, [{ ...disk, io }]);
    }, []);
  const volumePlan = (more: (target: string) => number): Record<string, Amounts> =>
    Object.fromEntries(
      plan.map(({ item, bin, bytes }) => [item.text, { [pathOf(space, bin)]: bytes + more(item.binding.target) }]),
    );
  const growth = new Map(
    request.volumes.map(({ request, limit }) => [request.target, Math.max(0, limit.size - request.size)]),
  );
  return {
    ...request,
    planRequest: volumePlan(() => 0),
    planLimit: volumePlan((target) => growth.get(target) ?? 0),
    disksRequest: disks(({ request }) => request.io),
    disksLimit: disks(({ limit }) => limit.io),
  };
}

export const nothingAllotted: Allotment = { resources: {}, engineParams: {} };

/** `before`, at a realloc, is what the workload has now. Who asks for nothing has no part in this kind at all. */
export function allotmentOf(booking: Booking, before?: Booking): Allotment {
  if (asksNothing(booking) && (before === undefined || asksNothing(before))) return nothingAllotted;
  return { resources: formatBooking(booking), engineParams: engineParams(booking, before) };
}

/** The disk of a mount's source, or of the volume that a binding is put on. */
function diskAt({ model: { bins, disks } }: Space, source: string, placement: Placement | undefined): Disk | undefined {
  const index = placement === undefined ? diskOf(disks, source) : (bins[placement.bin] as Bin).disk;
  return disks[index];
}

function pathOf({ model: { bins } }: Space, bin: number): string {
  return (bins[bin] as Bin).path;
}
