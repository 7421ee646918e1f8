import type { Amounts } from '../amounts.ts';
import type { Device } from './node.ts';

/**
 * So many devices of each product from `free`, of one NUMA node if one has them all. The NUMA node that `near` devices are on
 * comes first, then the one that gives most of what is missing; of equals the one with the least to give, so that larger sets
 * stay whole elsewhere, then by name. `free` has enough of each product, in the order in which devices are taken.
 */
export function chooseDevices(free: readonly Device[], wanted: Amounts, near: readonly Device[] = []): Device[] {
  const chosen: Device[] = [];
  const missing: Record<string, number> = { ...wanted };
  let groups = groupByNuma(free.filter(({ product }) => (missing[product] ?? 0) > 0));
  for (;;) {
    const [best] = groups
      .map((group) => ({ group, given: take(group.devices, missing), near: countOn(near, group.numa) }))
      .filter(({ given }) => given.length > 0)
      .sort(
        (a, b) =>
          b.near - a.near ||
          b.given.length - a.given.length ||
          a.group.devices.length - b.group.devices.length ||
          (a.group.numa < b.group.numa ? -1 : 1),
      );
    if (best === undefined) return chosen;
    for (const device of best.given) missing[device.product] = (missing[device.product] as number) - 1;
    chosen.push(...best.given);
    groups = groups.filter((group) => group !== best.group);
  }
}

interface NumaGroup {
  readonly numa: string;
  readonly devices: Device[];
}

function groupByNuma(devices: readonly Device[]): NumaGroup[] {
  const groups = new Map<string, NumaGroup>();
  for (const device of devices) {
    const group = groups.get(device.numa) ?? { numa: device.numa, devices: [] };
    group.devices.push(device);
    groups.set(device.numa, group);
  }
  return [...groups.values()];
}

/** The first devices of what is missing. */
function take(devices: readonly Device[], missing: Amounts): Device[] {
  const left: Record<string, number> = { ...missing };
  return devices.filter(({ product }) => {
    const more = left[product] ?? 0;
    left[product] = more - 1;
    return more > 0;
  });
}

function countOn(devices: readonly Device[], numa: string): number {
  return devices.filter((device) => device.numa === numa).length;
}
