import { describe, expect, it } from 'vitest';
import { cpuPlans, type CpuDemand, type CpuPlan, type FreeCpu, type Origin, type Pieces } from './cpu-plans.ts';

// The worked examples of reference/scheduling.md section 3.5: the yardstick measures what it claims to.

const rules = { shareBase: 100, maxShare: -1, mendMemory: false };

describe('the reference way to bind cores', () => {
  it('breaks whole cores only after the fragments (example 1)', () => {
    expect(plans({ 0: 100, 1: 60, 2: 100, 3: 40 }, { cpu: 0.5 })).toEqual(['1:50', '0:50', '0:50', '2:50', '2:50']);
  });

  it('keeps oversold cores even (example 2)', () => {
    expect(plans({ 0: 100, 1: 200, 2: 100, 3: 300 }, { cpu: 2 })).toEqual([
      '2:100 3:100',
      '1:100 3:100',
      '1:100 3:100',
    ]);
  });

  it('breaks no core that brings nothing (example 3)', () => {
    expect(plans({ 0: 100, 1: 100, 2: 100, 3: 90 }, { cpu: 1.4 })).toEqual(['0:100 3:40', '1:100 3:40']);
  });

  it.each([-1, 1])('finds how many cores to break, with max share %d (example 4)', (maxShare) => {
    const free = { 0: 100, 1: 100, 2: 100, 3: 100 };
    const found = cpuPlans(freeCpu(free), { cpu: 1.4, memory: 0 }, { shareBase: 100, maxShare, mendMemory: false });
    expect(found.map(text)).toEqual(['0:40 1:100', '0:40 2:100']);
  });

  it('orders core ids as text (example 5)', () => {
    expect(plans({ 0: 100, 1: 100, 2: 100, 10: 100 }, { cpu: 2 })).toEqual(['0:100 1:100', '2:100 10:100']);
  });

  it('plans inside NUMA nodes first, then across (example 6)', () => {
    const free: FreeCpu = {
      cores: map({ 0: 100, 1: 100, 2: 100, 3: 100, 4: 100 }),
      memory: 4000,
      numa: new Map(['0', '0', '0', '1', '1'].map((node, core) => [String(core), node])),
      numaMemory: map({ 0: 1500, 1: 2000 }),
    };
    expect(cpuPlans(free, { cpu: 1.5, memory: 1000 }, rules).map(text)).toEqual([
      '0:50 1:100 @0',
      '3:50 4:100 @1',
      '0:50 2:100',
    ]);
  });

  it('promises memory of the machine twice, unless mended', () => {
    const free: FreeCpu = {
      ...freeCpu({ 0: 100, 1: 100 }),
      memory: 1000,
      numa: new Map([
        ['0', '0'],
        ['1', '1'],
      ]),
      numaMemory: map({ 0: 1000, 1: 1000 }),
    };
    expect(cpuPlans(free, { cpu: 1, memory: 1000 }, rules)).toHaveLength(2);
    expect(cpuPlans(free, { cpu: 1, memory: 1000 }, { ...rules, mendMemory: true })).toHaveLength(1);
  });

  it('keeps what a workload holds (example 7)', () => {
    const held = { cores: map({ 2: 100, 3: 50 }), numaNode: '' };
    expect(plans({ 0: 100, 1: 100, 2: 100, 3: 50 }, { cpu: 2.5 }, held)).toEqual(['0:100 2:100 3:50']);
    const two = { cores: map({ 1: 100, 3: 100 }), numaNode: '' };
    expect(plans({ 0: 100, 1: 100, 2: 100, 3: 100 }, { cpu: 1 }, two)).toEqual(['1:100', '3:100', '0:100', '2:100']);
  });

  it('makes as many plans as memory allows (example 8)', () => {
    const demand = { cpu: 0.5, memory: 4000 };
    expect(cpuPlans({ ...freeCpu({ 0: 100, 1: 100, 2: 100 }), memory: 10000 }, demand, rules).map(text)).toEqual([
      '0:50',
      '0:50',
    ]);
    expect(cpuPlans({ ...freeCpu({ 0: 100 }), memory: -1 }, demand, rules)).toEqual([]);
  });

  it('breaks up the first core of the list on realloc (section 3.6)', () => {
    const held = { cores: map({ 1: 100 }), numaNode: '' };
    expect(plans({ 0: 100, 1: 100 }, { cpu: 1.5 }, held)).toEqual(['0:100 1:50']);
  });

  it('breaks up no core when the fragments are over max share, and refuses less than a piece', () => {
    const free = freeCpu({ 0: 60, 1: 60, 2: 100 });
    expect(
      cpuPlans(free, { cpu: 0.5, memory: 0 }, { shareBase: 100, maxShare: 1, mendMemory: false }).map(text),
    ).toEqual(['0:50', '1:50']);
    expect(() => cpuPlans(free, { cpu: 0.001, memory: 0 }, rules)).toThrow('invalid cpu');
  });
});

function plans(free: Record<number, number>, demand: Partial<CpuDemand>, origin?: Origin): string[] {
  return cpuPlans(freeCpu(free), { cpu: 0, memory: 0, ...demand }, rules, origin).map(text);
}

function freeCpu(cores: Record<number, number>): FreeCpu {
  return { cores: map(cores), memory: 0, numa: new Map(), numaMemory: new Map() };
}

function map(amounts: Record<number, number>): Pieces {
  return new Map(Object.entries(amounts));
}

function text({ cores, numaNode }: CpuPlan): string {
  const pieces = [...cores].sort(([a], [b]) => Number(a) - Number(b)).map(([core, amount]) => `${core}:${amount}`);
  return [...pieces, ...(numaNode === '' ? [] : [`@${numaNode}`])].join(' ');
}
