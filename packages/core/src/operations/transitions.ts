/**
 * Every operation as a table, read by the code that runs it (`drive.ts`): a step's effect on an engine, then one transaction that
 * writes the next step. What a table says is all that happens; nothing is decided elsewhere.
 */
export interface Row {
  /** What is done outside the store; `none` when the transaction is all. It may be repeated, unless `takeover` says otherwise. */
  effect: string;
  /** After the effect: the transaction, and the step that it writes. `end` deletes the header (or the slot) and its claims. */
  ok: Target;
  /** After an effect or transaction that was refused. Absent: it cannot be, and is repeated until it is done. */
  refused?: Target;
  /**
   * What a core does that finds a dead one's operation in this step: `repeat` the effect; `skip` it, because it may not be done
   * twice; `refuse`: go on as if the effect had been refused.
   */
  takeover: 'repeat' | 'skip' | 'refuse';
}

export type Target = readonly [transaction: string, next: string];

/** The first row is where an operation begins. Rows whose effect has nothing to do are passed over. */
export type Table = Readonly<Record<string, Row>>;

/** The transaction that changes nothing but the step. */
export const mark = 'mark';
export const end = 'end';

/**
 * What a transaction changes besides the step, for the claimed workload and for the new one in the slot. What it does not name
 * stays as it is; an operation's `end` takes its header and its claim with it.
 */
export interface Writes {
  /** Of the claimed workload: the new or again the old amounts, or gone. */
  record?: 'new' | 'old' | 'delete';
  release?: 'put';
  slot?: 'put' | 'recorded' | 'delete';
  newRecord?: 'put' | 'delete';
  /** `first`: put by a transaction of its own, before this one. */
  newClaim?: 'put' | 'first' | 'delete';
  /** What the operation holds on the node for the claimed workload in place of its record's amounts; `record` = these again. */
  held?: 'larger' | 'nothing' | 'record';
  /** What leaves the node's usage and what comes to it, as it was before the transaction; `larger` of both sides of a realloc. */
  usage?: { minus?: Booked; plus?: Booked };
}

type Booked = 'record' | 'held' | 'slot' | 'larger';

/** Of operations that claim one workload. */
export const workloadWrites: Readonly<Record<string, Writes>> = {
  [mark]: {},
  forget: { record: 'delete', usage: { minus: 'record' } },
  release: { record: 'delete', release: 'put', usage: { minus: 'record' } },
  bookLarger: { record: 'new', held: 'larger', usage: { minus: 'record', plus: 'larger' } },
  restore: { record: 'old' },
  freeSurplus: { held: 'record', usage: { minus: 'held', plus: 'record' } },
  moveBooking: { slot: 'put', held: 'nothing' },
  bookNew: { slot: 'put', usage: { plus: 'slot' } },
  recordNew: { slot: 'recorded', newRecord: 'put', newClaim: 'put' },
  dropNew: { slot: 'delete', newRecord: 'delete', newClaim: 'delete', held: 'record' },
  freeNew: { slot: 'delete', newRecord: 'delete', newClaim: 'delete', usage: { minus: 'slot' } },
  swap: { record: 'delete', slot: 'delete', newClaim: 'delete' },
  freeOld: { record: 'delete', slot: 'delete', newClaim: 'delete', usage: { minus: 'record' } },
};

/** Of the items of a roll, which stand in its header. */
export const rollWrites: Readonly<Record<string, Writes>> = { [mark]: {}, take: {} };

/** Of operations that make new instances. */
export const slotWrites: Readonly<Record<string, Writes>> = {
  [mark]: {},
  record: { slot: 'recorded', newRecord: 'put', newClaim: 'put' },
  finish: { slot: 'delete', newClaim: 'delete' },
  unclaim: { newClaim: 'delete' },
  claim: { newClaim: 'first' },
  forget: { slot: 'delete', newRecord: 'delete', newClaim: 'delete', usage: { minus: 'slot' } },
};

const hook = (effect: string, next: string, refused: Target): Row => ({
  effect,
  ok: [mark, next],
  refused,
  takeover: 'skip',
});

/** One workload, claimed. */
export const removeTables = {
  /** eru.v1 and the cli: hooks and stop first. */
  full: {
    stopHooks: hook('stopHooks', 'removing', [mark, end]),
    removing: { effect: 'stopAndRemove', ok: ['forget', end], takeover: 'repeat' },
  },
  /** The wire without force: the engine refuses what runs. */
  unforced: {
    asking: { effect: 'removeStopped', ok: [mark, 'removing'], refused: [mark, end], takeover: 'repeat' },
    removing: { effect: 'remove', ok: ['forget', end], takeover: 'repeat' },
  },
  /** The wire with force: no hook, no stop. */
  forced: {
    removing: { effect: 'remove', ok: ['forget', end], takeover: 'repeat' },
  },
} satisfies Record<string, Table>;

const stopping = (next: string): Table => ({
  stopHooks: hook('stopHooks', 'stopping', [mark, end]),
  stopping: { effect: 'stop', ok: [mark, next], refused: [mark, end], takeover: 'repeat' },
});

const starting: Table = {
  starting: { effect: 'start', ok: [mark, 'startHooks'], refused: [mark, end], takeover: 'repeat' },
  startHooks: hook('startHooks', end, [mark, end]),
};

const once = (effect: string): Table => ({
  applying: { effect, ok: [mark, end], refused: [mark, end], takeover: 'repeat' },
});

/** `limits` is the reconciler's and the remap's: the engine's limits become what they should be. */
export const controlTables = {
  start: starting,
  stop: stopping(end),
  restart: { ...stopping('starting'), ...starting },
  suspend: once('suspend'),
  resume: once('resume'),
  limits: once('limits'),
} satisfies Record<string, Table>;

export const dissociateTable: Table = {
  releasing: { effect: 'none', ok: ['release', end], takeover: 'repeat' },
};

/** What it takes is in the hands of the core that began it: nobody else can go on. */
export const workTable: Table = {
  working: { effect: 'work', ok: [mark, end], refused: [mark, end], takeover: 'refuse' },
};

/** What both sides need is booked until the engine has answered, so that there is room to go back. */
export const reallocTable: Table = {
  planning: { effect: 'none', ok: ['bookLarger', 'updating'], refused: [mark, end], takeover: 'refuse' },
  updating: { effect: 'update', ok: ['freeSurplus', end], refused: ['restore', 'reverting'], takeover: 'repeat' },
  reverting: { effect: 'updateBack', ok: ['freeSurplus', end], takeover: 'repeat' },
};

/** One of the replaces of a roll, which are operations of their own. `take` is refused once one has failed. */
export const rollTable: Table = {
  waiting: { effect: 'none', ok: ['take', 'replacing'], refused: [mark, end], takeover: 'repeat' },
  replacing: { effect: 'replace', ok: [mark, end], refused: [mark, end], takeover: 'repeat' },
};

const undoing: Row = { effect: 'remove', ok: ['forget', end], takeover: 'repeat' };

const creating = (takeover: 'repeat' | 'refuse', hooking: Row): Table => ({
  reserved: { effect: 'create', ok: ['record', 'recorded'], refused: [mark, 'undoing'], takeover },
  recorded: { effect: 'start', ok: [mark, 'hooking'], refused: [mark, 'undoing'], takeover },
  hooking,
});

/** One new instance, in a slot. */
export const slotTables = {
  /** A client waits: when its core dies it is told so, and what has not started is undone. */
  create: {
    ...creating('refuse', { effect: 'hooks', ok: ['finish', end], refused: [mark, 'undoing'], takeover: 'refuse' }),
    undoing,
  },
  /** Nobody waits, and everything that is needed is in the header. */
  asynchronous: {
    ...creating('repeat', { effect: 'hooks', ok: ['finish', end], refused: [mark, 'undoing'], takeover: 'skip' }),
    undoing,
  },
  /** Runs once and is removed. While it runs it is claimed by nobody. */
  lambda: {
    ...creating('refuse', {
      effect: 'hooks',
      ok: ['unclaim', 'waiting'],
      refused: [mark, 'undoing'],
      takeover: 'refuse',
    }),
    waiting: { effect: 'wait', ok: ['claim', 'undoing'], refused: ['claim', 'undoing'], takeover: 'repeat' },
    undoing,
  },
} satisfies Record<string, Table>;

const fallBack: Row['refused'] = [mark, 'undoing'];

/** From the new one's creation to the decision; a core that dies on the way leaves no request, so that the old one comes back. */
const building: Table = {
  creating: { effect: 'createNew', ok: ['recordNew', 'starting'], refused: fallBack, takeover: 'refuse' },
  starting: { effect: 'startNew', ok: [mark, 'startHooks'], refused: fallBack, takeover: 'refuse' },
  startHooks: { effect: 'startHooks', ok: [mark, 'gating'], refused: fallBack, takeover: 'refuse' },
  gating: { effect: 'healthy', ok: [mark, 'committed'], refused: fallBack, takeover: 'repeat' },
};

export const replaceTables = {
  /** The booking of the old one goes to the new one and, when that fails, back. */
  inPlace: {
    preparing: { effect: 'prepare', ok: ['moveBooking', 'stopHooks'], refused: [mark, end], takeover: 'refuse' },
    stopHooks: { effect: 'stopHooks', ok: [mark, 'stopping'], refused: ['dropNew', end], takeover: 'refuse' },
    stopping: { effect: 'stopOld', ok: [mark, 'creating'], refused: fallBack, takeover: 'refuse' },
    ...building,
    committed: { effect: 'removeOld', ok: ['swap', end], takeover: 'repeat' },
    undoing: { effect: 'removeNew', ok: ['dropNew', 'returning'], takeover: 'repeat' },
    returning: { effect: 'startOld', ok: [mark, 'returnHooks'], refused: [mark, end], takeover: 'repeat' },
    returnHooks: hook('returnHooks', end, [mark, end]),
  },
  /** Both run for a while, each with a booking of its own. */
  overlap: {
    preparing: { effect: 'prepare', ok: ['bookNew', 'creating'], refused: [mark, end], takeover: 'refuse' },
    ...building,
    committed: { effect: 'retireHooks', ok: [mark, 'retiring'], takeover: 'skip' },
    retiring: { effect: 'retireOld', ok: ['freeOld', end], takeover: 'repeat' },
    undoing: { effect: 'removeNew', ok: ['freeNew', end], takeover: 'repeat' },
  },
} satisfies Record<string, Table>;
