import type { Table } from '@eru/core';

/** A replace in place that removes the old one before it writes that it will: what model and sweep have to notice. */
export const removesBeforeItDecides: Table = {
  gating: { effect: 'removeOld', ok: ['mark', 'committed'], refused: ['mark', 'undoing'], takeover: 'refuse' },
  committed: { effect: 'none', ok: ['swap', 'end'], takeover: 'repeat' },
};
