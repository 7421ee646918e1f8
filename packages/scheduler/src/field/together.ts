import type { Follower } from '../kind.ts';

/** Two kinds that follow the plan, as one: a group is what both see as one, and both must have room. */
export function together(a: Follower, b: Follower): Follower {
  const pairs: { readonly a: number; readonly b: number }[] = [];
  const byPair = new Map<string, number>();
  // Groups of one, to the pairs that they are in.
  const withA = new Map<number, number[]>();
  const withB = new Map<number, number[]>();

  const pairOf = (group: number): { readonly a: number; readonly b: number } => pairs[group] ?? { a: 0, b: 0 };
  const note = (index: Map<number, number[]>, group: number, pair: number): void => {
    const known = index.get(group);
    if (known === undefined) index.set(group, [pair]);
    else known.push(pair);
  };
  const closes = (follower: Follower, slot: number): boolean =>
    Math.min(follower.room(slot), follower.groupRoom(follower.group(slot))) < 1;

  return {
    group(slot) {
      const pair = { a: a.group(slot), b: b.group(slot) };
      const key = `${pair.a} ${pair.b}`;
      const known = byPair.get(key);
      if (known !== undefined) return known;
      const made = pairs.push(pair) - 1;
      byPair.set(key, made);
      note(withA, pair.a, made);
      note(withB, pair.b, made);
      return made;
    },
    groupRoom: (group) => Math.min(a.groupRoom(pairOf(group).a), b.groupRoom(pairOf(group).b)),
    preference: (group) => a.preference(pairOf(group).a) + b.preference(pairOf(group).b),
    room: (slot) => Math.min(a.room(slot), b.room(slot)),
    refuse: (slot) => (closes(a, slot) ? a : b).refuse(slot),
    place(slot, count) {
      const [byA, byB] = [a.place(slot, count), b.place(slot, count)];
      const groups = new Set<number>();
      for (const group of byA.groups) for (const pair of withA.get(group) ?? []) groups.add(pair);
      for (const group of byB.groups) for (const pair of withB.get(group) ?? []) groups.add(pair);
      return { groups, slots: new Set([...byA.slots, ...byB.slots]) };
    },
  };
}
