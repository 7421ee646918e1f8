import type { WorkloadSpec } from '@eru/engines';

/** One proof that a limit is enforced, not only written. */
export interface Check {
  name: string;
  ok: boolean;
  seen: string;
}

/** A disk, and what a workload reads and writes of it; a mebibyte of either. */
export interface IoPlace {
  device: string;
  source: string;
  target: string;
  /** What the workload needs to see them. */
  more: Partial<WorkloadSpec>;
}

export function check(name: string, ok: boolean, seen: unknown): Check {
  return { name, ok, seen: JSON.stringify(seen) };
}
