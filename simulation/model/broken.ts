import type { Table } from '@eru/core';

/** A replace in place that removes the old one before it writes that it will: what model and sweep have to notice. */
export const removesBeforeItDecides: Table = {
  gating: { effect: 'removeOld', ok: ['mark', 'committed'], refused: ['mark', 'undoing'], takeover: 'refuse' },
  committed: { effect: 'none', ok: ['swap', 'end'], takeover: 'repeat' },
};

/** A roll whose replaces are begun without a look at whether one has failed. */
export const beginsBeforeItsTurn: Table = {
  waiting: { effect: 'replace', ok: ['mark', 'end'], refused: ['mark', 'end'], takeover: 'repeat' },
};

/** A roll that ends, at a takeover, what goes on. */
export const givesUpWhatWasBegun: Table = {
  replacing: { effect: 'replace', ok: ['mark', 'end'], refused: ['mark', 'end'], takeover: 'refuse' },
};
