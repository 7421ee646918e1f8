import { describe, expect, it } from 'vitest';
import {
  bookCpuMemory,
  cpuMemoryCapacity,
  deployCpuMemory,
  reallocCpuMemory,
  type CpuMemoryBooking,
  type CpuMemoryNode,
} from './cpumem.ts';

// The worked examples of reference/scheduling.md sections 3.3 and 3.6.

const rules = { shareBase: 100, maxShare: -1, mendMemory: false };

describe('the reference cpumem', () => {
  it('bounds unbound workloads by memory and by the number of cores', () => {
    const base = machine(8, 1000);
    const node = bookCpuMemory(base, { cpu: 0, memory: 250, cores: new Map(), numaMemory: new Map() }, 1);
    const measured = cpuMemoryCapacity(node, { bind: false, cpu: 2, memory: 100 }, rules);
    expect(measured).toEqual({ capacity: 7, usage: 0.25, rate: 0.1, weight: 1 });
    expect(cpuMemoryCapacity(node, { bind: false, cpu: 9, memory: 100 }, rules).capacity).toBe(0);
    expect(cpuMemoryCapacity(node, { bind: false, cpu: 2, memory: 0 }, rules)).toEqual({
      capacity: Infinity,
      usage: 0.25,
      rate: 0,
      weight: 1,
    });
  });

  it('takes the first plan around what the workload holds', () => {
    const current: CpuMemoryBooking = {
      cpu: 1,
      memory: 0,
      cores: new Map([['1', 100]]),
      numaMemory: new Map(),
      numaNode: '',
    };
    const node = bookCpuMemory(machine(2, 1000), current, 1);
    const next = reallocCpuMemory(node, current, { bind: true, cpu: 1.5, memory: 0 }, rules);
    expect(Object.fromEntries(next?.cores ?? [])).toEqual({ 0: 100, 1: 50 });
    expect(reallocCpuMemory(node, current, { bind: true, cpu: 2.5, memory: 0 }, rules)).toBeUndefined();
    expect(reallocCpuMemory(node, current, { bind: false, cpu: 1.5, memory: 0 }, rules)?.cores.size).toBe(0);
  });

  it('deploys as many as it promised, and gives back what it took', () => {
    const node = machine(4, 1000);
    const request = { bind: true, cpu: 1.4, memory: 100 };
    const { capacity } = cpuMemoryCapacity(node, request, rules);
    expect(capacity).toBe(2);
    expect(deployCpuMemory(node, request, 3, rules)).toBeUndefined();
    const bookings = deployCpuMemory(node, request, 2, rules) ?? [];
    const full = bookings.reduce((sum, booking) => bookCpuMemory(sum, booking, 1), node);
    expect(full.usage.cpu).toBe(2.8);
    expect(cpuMemoryCapacity(full, request, rules).capacity).toBe(0);
    const empty = bookings.reduce((sum, booking) => bookCpuMemory(sum, booking, -1), full);
    expect(empty.usage.cpu).toBe(0);
    expect([...empty.usage.cores.values()].every((pieces) => pieces === 0)).toBe(true);
  });
});

function machine(cores: number, memory: number): CpuMemoryNode {
  const map = new Map(Array.from({ length: cores }, (_, core) => [String(core), 100]));
  return {
    capacity: { cpu: cores, memory, cores: map, numaMemory: new Map() },
    usage: { cpu: 0, memory: 0, cores: new Map(), numaMemory: new Map() },
    numa: new Map(),
  };
}
