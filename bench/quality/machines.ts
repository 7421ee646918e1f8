import type { Machine } from './shapes.ts';

export function coreIds({ cores }: Machine): string[] {
  return Array.from({ length: cores }, (_, core) => String(core));
}

/** None without NUMA. */
export function numaIds({ numaNodes }: Machine): string[] {
  return numaNodes === 1 ? [] : Array.from({ length: numaNodes }, (_, node) => String(node));
}

/** Cores are dealt to NUMA nodes in equal runs, as most machines number them. */
export function numaNodeOf(core: string, { cores, numaNodes }: Machine): string {
  return String(Math.floor((Number(core) * numaNodes) / cores));
}

export function nodeNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `n${String(index).padStart(6, '0')}`);
}
