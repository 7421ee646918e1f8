import { describe, expect, it } from 'vitest';
import { strategies, type NodeInfo } from './strategies.ts';

// The worked examples of reference/scheduling.md section 6.

const { AUTO, FILL, EACH, GLOBAL, DRAINED } = strategies;

describe('the reference strategies', () => {
  const nodes = (names = 'abcd'): NodeInfo[] =>
    [info('a', 5, 3), info('b', 2, 0), info('c', 9, 1), info('d', 1, 6)].filter(({ name }) => names.includes(name));

  it('AUTO levels the counts', () => {
    expect(plan(AUTO(nodes('abc'), 6, 0))).toEqual({ a: 1, b: 2, c: 3 });
    expect(plan(AUTO(nodes('abc'), 4, 3))).toEqual({ b: 2, c: 2 });
    expect(AUTO(nodes('abc'), 5, 3)).toBeUndefined();
  });

  it('FILL tops up', () => {
    expect(plan(FILL(nodes(), 4, 2))).toEqual({ a: 1, d: 0 });
    expect(plan(FILL(nodes(), 4, 3))).toEqual({ a: 1, c: 3, d: 0 });
    expect(FILL(nodes(), 4, 0)).toBeUndefined();
  });

  it('EACH gives the same to the roomiest', () => {
    expect(plan(EACH(nodes(), 2, 2))).toEqual({ a: 2, c: 2 });
    expect(EACH(nodes(), 2, 0)).toBeUndefined();
    expect(EACH(nodes(), 10, 1)).toBeUndefined();
  });

  it('GLOBAL levels the usage', () => {
    const used = [info('a', 3, 0, 0.3, 0.2), info('b', 10, 0, 0.55, 0.05), info('c', 2, 0, 0.1, 0.15)];
    expect(plan(GLOBAL(used, 5, 0))).toEqual({ a: 1, b: 2, c: 2 });
  });

  it('DRAINED fills the smallest first', () => {
    const used = [info('a', 4, 0, 0.2), info('b', 7, 0, 0.9), info('c', 4, 0, 0.6)];
    expect(plan(DRAINED(used, 9, 0))).toEqual({ a: 4, b: 1, c: 4 });
    expect(DRAINED(used, 16, 0)).toBeUndefined();
  });
});

function info(name: string, capacity: number, count: number, usage = 0, rate = 0): NodeInfo {
  return { name, capacity, count, usage, rate };
}

function plan(found: Map<string, number> | undefined): Record<string, number> {
  return Object.fromEntries(found ?? []);
}
