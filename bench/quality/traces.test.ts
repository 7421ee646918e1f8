import { describe, expect, it } from 'vitest';
import { Ledger } from './ledger.ts';
import { mean, nodesFor, placedBeforeRefusal, play } from './play.ts';
import { referenceSubject } from './reference.ts';
import { gib, type Shape, type Wish } from './shapes.ts';
import type { Holding } from './subject.ts';
import { trace } from './traces.ts';

const wish: Wish = { bind: true, cpu: 1.5, memory: gib };
const shape: Shape = {
  name: 'two small NUMA machines',
  machine: { cores: 4, memory: 8 * gib, numaNodes: 2 },
  machines: 2,
  maxShare: -1,
  mix: [{ ...wish, weight: 1 }],
  load: 1.1,
  lives: [{ weight: 1, factor: 1 }],
};

describe('a trace', () => {
  it('is the same for the same seed, and another for another', () => {
    const [first, again, other] = [trace(shape, 500, 7), trace(shape, 500, 7), trace(shape, 500, 8)];
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
    expect(first).toHaveLength(500);
  });

  it('creates before it changes, and changes before it removes', () => {
    const [born, gone] = [new Set<number>(), new Set<number>()];
    for (const step of trace(shape, 2000, 3)) {
      if (step.type === 'create') for (const id of step.ids) born.add(id);
      else {
        expect(born.has(step.id) && !gone.has(step.id)).toBe(true);
        if (step.type === 'remove') gone.add(step.id);
      }
    }
    expect(gone.size).toBeGreaterThan(0);
  });
});

describe('the judge', () => {
  const holding = (overrides: Partial<Holding>): Holding => ({
    node: 'n0',
    wish,
    cores: new Map([
      ['0', 100],
      ['1', 50],
    ]),
    numaNode: '0',
    volumes: new Map(),
    ...overrides,
  });
  const faults = (...held: Holding[]): string[] => {
    const ledger = new Ledger(shape);
    for (const one of held) ledger.add(one);
    return [...ledger.faults.keys()];
  };

  it('finds what is over capacity or not as asked', () => {
    expect(faults(holding({}))).toEqual([]);
    expect(faults(holding({}), holding({}))).toEqual(['core over capacity']);
    expect(faults(holding({ cores: new Map([['0', 100]]) }))).toContain('not the pieces asked for');
    expect(faults(holding({ numaNode: '1' }))).toContain('NUMA node named, cores elsewhere');
    expect(faults(holding({ wish: { ...wish, memory: 5 * gib } }))).toEqual(['NUMA memory over capacity']);
    expect(faults(holding({ wish: { ...wish, bind: false } }))).toEqual(['cores for an unbound workload']);
  });

  it('measures what no request can use, and what is inside NUMA nodes', () => {
    const ledger = new Ledger(shape);
    ledger.add(holding({}));
    // 250 are free. One more fits into NUMA node 1; then 50 on core 1 and 50 on core 2 serve nobody who needs a whole core.
    expect(ledger.stranded()).toEqual({ best: 100 / 250, mean: 100 / 250 });
    expect(ledger.insideNuma()).toBe(1);
    ledger.add(
      holding({
        cores: new Map([
          ['2', 100],
          ['3', 50],
        ]),
        numaNode: '',
      }),
    );
    expect(ledger.stranded()).toEqual({ best: 1, mean: 1 });
    expect(ledger.insideNuma()).toBe(0.5);
  });
});

describe('playing a trace', () => {
  it('is repeatable, keeps the judge content, and packs what lives no wider than it lay', () => {
    const flat: Shape = { ...shape, machine: { ...shape.machine, numaNodes: 1 } };
    const steps = trace(flat, 300, 1);
    const [played, again] = [play(flat, steps, referenceSubject), play(flat, steps, referenceSubject)];
    expect([...played.faults]).toEqual([]);
    expect({ ...again, seconds: 0 }).toEqual({ ...played, seconds: 0 });
    expect(
      nodesFor(flat, [...(played.living.at(-1) ?? new Map<number, Wish>()).values()], referenceSubject),
    ).toBeLessThanOrEqual(flat.machines);
  });

  it('counts refusals once the fleet is full', () => {
    const steps = trace(shape, 1000, 1);
    const { figures } = play(shape, steps, referenceSubject);
    expect(placedBeforeRefusal(shape, steps, referenceSubject)).toBeLessThan(20);
    expect(mean(figures.placed)).toBeLessThan(1);
  });
});
