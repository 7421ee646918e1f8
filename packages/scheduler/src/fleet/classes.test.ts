import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ResourceKind } from '../kind.ts';
import type { PlannedNode } from '../model.ts';
import { Classes } from './classes.ts';

// Which nodes share a class, through any comings and goings: the classes beside a plain map from node to fingerprint. The first
// two pairs of fingerprints are known to have the same hash.
const texts = ['costarring', 'liquid', 'declinate', 'macallums', 'a', 'b'];

const kind = {
  state: ({ name }: PlannedNode) => name,
  fingerprint: (state: string) => state,
} as unknown as ResourceKind;

function node(name: string): PlannedNode {
  return { name, labels: {}, resources: { capacity: {}, usage: {} } };
}

test('nodes are in one class exactly when their fingerprints are equal', () => {
  const change = fc.record({ slot: fc.nat({ max: 7 }), text: fc.option(fc.constantFrom(...texts)) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const classes = new Classes(kind);
      const now = new Map<number, string>();
      const births = new Map<string, number>();
      for (const { slot, text } of changes) {
        if (text !== null) {
          classes.set(slot, node(text));
          now.set(slot, text);
        } else if (now.delete(slot)) classes.delete(slot);
        const present = new Set(now.values());
        for (const known of births.keys()) if (!present.has(known)) births.delete(known);
        for (const [at, its] of now) {
          expect(classes.stateOf(at)).toBe(its);
          const birth = classes.births[classes.ofSlot[at] as number] as number;
          expect(birth).toBe(births.get(its) ?? birth);
          births.set(its, birth);
        }
        expect(new Set(births.values()).size).toBe(present.size);
        expect(classes.size).toBeLessThanOrEqual(8 + 1);
      }
    }),
    { seed: 20_266, numRuns: 300 },
  );
});
