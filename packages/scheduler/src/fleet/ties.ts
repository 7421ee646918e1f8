import { hashOf } from '../hash.ts';

/**
 * By position: of two nodes between which a strategy finds no difference, the one with the lower number comes first, of equal
 * numbers the one whose name does. Without a seed all are equal; a seed shuffles the nodes, by their names alone.
 */
export function tiesOf(names: readonly string[], seed: string): Int32Array {
  const ties = new Int32Array(names.length);
  if (seed === '') return ties;
  const begun = hashOf(`${seed} `);
  for (const [position, name] of names.entries()) ties[position] = spread(hashOf(name, begun));
  return ties;
}

/**
 * The end of MurmurHash3. FNV alone leaves names that differ in their last letters side by side: orders of different seeds
 * would run in step.
 */
function spread(hash: number): number {
  let mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
