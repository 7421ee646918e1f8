import type { EngineParams, Limits } from '@eru/engines';
import { fieldsOf, limitsOf, storageBeyondVolumes } from '@eru/engines';
import type { Json } from '@eru/kit';
import { invalid, isJsonObject } from '@eru/kit';

/** What is asked of the kernel for one workload. */
export interface WantedLimits extends Limits {
  /** Weight (cgroup v1 scale: 1024 is one core's) on a core of which it has bought only a part. */
  shares?: number;
}

/** The limits that people asked for, and in words what of `engineParams` no cgroup enforces. */
export function wantedLimits(engineParams: EngineParams, pids: number): { limits: WantedLimits; beyond: string[] } {
  const limits: WantedLimits = limitsOf(engineParams);
  if (pids < 0 || !Number.isInteger(pids)) throw invalid('pids', pids, 'give a whole number, 0 for no limit');
  if (pids > 0) limits.pids = pids;
  const fields = fieldsOf(engineParams);
  const cpu = fields['cpu'];
  if (limits.cpuset !== undefined && limits.cpu === undefined && typeof cpu === 'number' && cpu % 1 > 0)
    limits.shares = Math.max(2, Math.round(1024 * (cpu % 1)));
  const beyond: string[] = [];
  if (filled(fields['prod_count_map'])) beyond.push('GPUs');
  if (storageBeyondVolumes(engineParams) > 0) beyond.push('a storage limit');
  return { limits, beyond };
}

/** The part of it that people see. */
export function shownLimits({ shares: _shares, ...limits }: WantedLimits): Limits {
  return limits;
}

/** Kernel lists: `0-2,5` is 0, 1, 2, 5. */
export function parseList(text: string): number[] {
  const numbers: number[] = [];
  for (const part of text.trim().split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    if (part === '' || first === undefined || last === undefined) continue;
    for (let number = first; number <= last; number++) numbers.push(number);
  }
  return numbers.sort((a, b) => a - b);
}

function filled(value: Json | undefined): boolean {
  return Array.isArray(value) ? value.length > 0 : isJsonObject(value) && Object.keys(value).length > 0;
}
