import type { Settings } from '../kind.ts';
import type { Range } from './free-cores.ts';
import { classify, fragmentSlots, type FragmentSlot } from './plans.ts';
import type { CoreShare } from './share.ts';

/**
 * How many of `count` instances go to each NUMA node of a machine; `rooms` is how many each holds, together at least as
 * many. The reference leaves the choice open. One after the other goes where it opens no whole core for its fragment;
 * then where the fewest whole cores are left, so that the other nodes stay good for larger ones; then where its fragment
 * fits best; then by name.
 */
export function spreadOverZones(
  cores: Int32Array,
  ranges: readonly Range[],
  rooms: readonly number[],
  share: CoreShare,
  count: number,
  settings: Settings,
): number[] {
  const zones = rooms.map((most, number): Zone => {
    const room = Math.min(most, count);
    const { wholeCores, fragmentCores } = classify(cores, ranges[number] as Range, settings);
    const slots = fragmentSlots([...fragmentCores, ...wholeCores], share, room, settings);
    return { room, slots, wholeLeft: wholeCores.length, placed: 0 };
  });
  for (let instance = 0; instance < count; instance += 1) {
    const open = zones.filter(({ placed, room }) => placed < room);
    const best = open.reduce((best, zone) => (isBetter(zone, best, share) ? zone : best));
    best.wholeLeft -= share.whole + (best.slots[best.placed]?.opens === true ? 1 : 0);
    best.placed += 1;
  }
  return zones.map(({ placed }) => placed);
}

interface Zone {
  readonly room: number;
  readonly slots: readonly FragmentSlot[];
  wholeLeft: number;
  placed: number;
}

function isBetter(zone: Zone, other: Zone, share: CoreShare): boolean {
  const [slot, otherSlot] = [zone.slots[zone.placed], other.slots[other.placed]];
  const opens = Number(slot?.opens ?? false) - Number(otherSlot?.opens ?? false);
  if (opens !== 0) return opens < 0;
  const whole = zone.wholeLeft - other.wholeLeft;
  const fragment = (slot?.pieces ?? 0) - (otherSlot?.pieces ?? 0);
  const takesWhole = share.whole > 0 || slot?.opens === true;
  return (takesWhole ? whole || fragment : fragment || whole) < 0;
}
