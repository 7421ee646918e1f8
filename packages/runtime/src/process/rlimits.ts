import type { WorkloadSpec } from '@eru/engines';
import { EruError, invalid } from '@eru/kit';

import { ownHardLimit } from '../cgroups/machine.ts';

export interface Rlimit {
  /** `nofile`, `nproc`, … */
  name: string;
  /** Infinity = no limit. */
  soft: number;
  hard: number;
}

/** -1 is no limit. `unsupported` for more than this process itself may have: only CAP_SYS_RESOURCE could raise it. */
export function rlimitsOf({ ulimits }: WorkloadSpec): Rlimit[] {
  return Object.entries(ulimits).map(([name, limit]) => {
    const [soft, hard] = [limit.soft, limit.hard].map((value) => (value < 0 ? Number.POSITIVE_INFINITY : value)) as [
      number,
      number,
    ];
    const most = ownHardLimit(name);
    if (Number.isNaN(most)) throw new EruError('unsupported', `ulimits: ${name} is not a limit of this system`);
    if (soft > hard) throw invalid('ulimits', `${name}: ${soft}:${hard}`, 'the soft limit is at most the hard one');
    if (hard > most)
      throw new EruError(
        'unsupported',
        `ulimits: ${name} ${hard} is more than this daemon may give; the most is ${most}`,
      );
    return { name, soft, hard };
  });
}
