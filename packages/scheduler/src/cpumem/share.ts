import type { Settings } from '../kind.ts';

/** What one bound instance takes: `whole` cores of their own, and `fragment` pieces of one more (0 = none). */
export interface CoreShare {
  readonly whole: number;
  readonly fragment: number;
}

/** Cut to whole pieces in plain double arithmetic, as the original does: 0.29 of 100 pieces are 28. */
export function coreShare(cpu: number, { shareBase }: Settings): CoreShare {
  const pieces = Math.trunc(cpu * shareBase);
  return { whole: Math.floor(pieces / shareBase), fragment: pieces % shareBase };
}
