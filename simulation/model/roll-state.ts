import type { CoreId } from './state.ts';

/**
 * One state of the model of a roll: two cores, and for each item of its list a replace, which is an operation of its own. Of what a
 * core knows it is enough to say whether it is still so.
 */
export interface RollState {
  readonly cores: readonly [RollCore, RollCore];
  /** Whether `cores/<core>` of its present tenure is there. */
  readonly leases: readonly [boolean, boolean];
  readonly begun: boolean;
  /** The header's owner, undefined: a tenure that is over. Null before it is begun and after it has ended. */
  readonly roll: { readonly owner: CoreId | undefined } | null;
  readonly items: readonly Item[];
  /** Something failed that was nobody's death: only then a replace may fail. */
  readonly refused: boolean;
  /** Replaces that were begun after the header had told of one that failed. */
  readonly begunTooLate: number;
  /** How many deaths and lost leases may still come. */
  readonly troubles: number;
}

export interface RollCore {
  readonly up: boolean;
  readonly roll: RollRun | null;
  readonly replaces: readonly (ReplaceRun | null)[];
}

/** How a core goes through the list. */
export interface RollRun {
  /** The header is as this core wrote or found it. */
  readonly fresh: boolean;
  /** It has the files of the request, if there are any. */
  readonly hasFiles: boolean;
  readonly items: readonly ItemRun[];
}

export interface ItemRun {
  readonly takenOver: boolean;
  /** The replace of the present try was begun by this run, which hears its end. */
  readonly own: boolean;
  readonly tried: boolean;
}

export interface ReplaceRun {
  readonly fresh: boolean;
  readonly takenOver: boolean;
}

export interface Item {
  /** In the header of the roll. */
  readonly step: string;
  readonly outcome: 'ok' | 'failed' | 'skipped' | null;
  /** The key under which its present try was begun, and what that came to. */
  readonly request: 'none' | 'begun' | 'ok' | 'failed';
  readonly replace: { readonly owner: CoreId | undefined; readonly step: string; readonly refused: boolean } | null;
  /** On the engine. */
  readonly old: 'running' | 'stopped' | 'gone';
  readonly made: 'none' | 'made' | 'healthy';
}

/** The same with the cores' names exchanged. */
export function exchangedRoll(state: RollState): RollState {
  const other = (owner: CoreId | undefined): CoreId | undefined =>
    owner === undefined ? undefined : owner === 0 ? 1 : 0;
  return {
    ...state,
    cores: [state.cores[1], state.cores[0]],
    leases: [state.leases[1], state.leases[0]],
    roll: state.roll && { owner: other(state.roll.owner) },
    items: state.items.map((item) => ({
      ...item,
      replace: item.replace && { ...item.replace, owner: other(item.replace.owner) },
    })),
  };
}

/** Equal for equal states; and the key of the same state with its cores' names exchanged. */
export function keysOfRoll(state: RollState): readonly [straight: string, exchanged: string] {
  return [keyOf(state, [0, 1]), keyOf(state, [1, 0])];
}

/** With the cores in this order, and named by it. */
function keyOf(
  { cores, leases, begun, roll, items, refused, begunTooLate, troubles }: RollState,
  order: readonly CoreId[],
): string {
  const name = (owner: CoreId | undefined): number => (owner === undefined ? 2 : order.indexOf(owner));
  const bit = Number;
  return [
    `${troubles} ${bit(begun)}${bit(refused)}${begunTooLate}${roll === null ? '' : name(roll.owner)}`,
    ...items.map(({ step, outcome, request, replace, old, made }) => {
      const under = replace === null ? '' : `${replace.step}${name(replace.owner)}${bit(replace.refused)}`;
      return `${step} ${outcome} ${request} ${under} ${old} ${made}`;
    }),
    ...order.map((id) => {
      const { up, roll: run, replaces } = cores[id];
      const own = run?.items.map((item) => `${bit(item.takenOver)}${bit(item.own)}${bit(item.tried)}`).join('') ?? '';
      const under = replaces.map((one) => (one === null ? '-' : `${bit(one.fresh)}${bit(one.takenOver)}`)).join('');
      return `${bit(up)}${bit(leases[id])} ${run === null ? '' : `${bit(run.fresh)}${bit(run.hasFiles)}`}${own} ${under}`;
    }),
  ].join('/');
}

export function withRollCore(state: RollState, id: CoreId, change: Partial<RollCore>): RollState {
  const [first, second] = state.cores;
  return {
    ...state,
    cores: id === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }],
  };
}

export function withItem(state: RollState, index: number, change: Partial<Item>): RollState {
  return { ...state, items: state.items.map((item, at) => (at === index ? { ...item, ...change } : item)) };
}

/** Nothing is in flight. */
export function rollRests({ roll, items, cores }: RollState): boolean {
  const idle = cores.every((core) => core.roll === null && core.replaces.every((run) => run === null));
  return roll === null && idle && items.every(({ replace }) => replace === null);
}
