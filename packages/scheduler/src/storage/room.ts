import type { Item } from './items.ts';
import type { Bin } from './model.ts';
import type { Space } from './space.ts';

/** What is left while plans are made: bytes by bin; IO by disk, four amounts each. Mutable: only numbers move. */
export interface Room {
  readonly free: number[];
  readonly io: number[];
}

/** IO is left out where nothing asks for it: it would be copied for nothing at every step. */
export function roomOf({ free, io }: Space, withDisks: boolean): Room {
  return { free: [...free], io: withDisks ? [...io] : [] };
}

export type Asked = Pick<Item, 'size' | 'io' | 'needsDisk'>;

export function fits(space: Space, room: Room, bin: number, item: Asked): boolean {
  return (room.free[bin] as number) >= item.size && fitsIo(room, (space.model.bins[bin] as Bin).disk, item);
}

/** A path without a disk serves what asks for no IO. */
export function fitsIo({ io }: Room, disk: number, item: Asked): boolean {
  if (!item.needsDisk) return true;
  if (disk < 0) return false;
  for (let dimension = 0; dimension < 4; dimension += 1) {
    if ((io[4 * disk + dimension] as number) < (item.io[dimension] as number)) return false;
  }
  return true;
}

export function take(space: Space, room: Room, bin: number, item: Asked): void {
  room.free[bin] = (room.free[bin] as number) - item.size;
  takeIo(room, (space.model.bins[bin] as Bin).disk, item);
}

export function takeIo({ io }: Room, disk: number, item: Asked): void {
  if (!item.needsDisk) return;
  for (let dimension = 0; dimension < 4; dimension += 1) {
    io[4 * disk + dimension] = (io[4 * disk + dimension] as number) - (item.io[dimension] as number);
  }
}
