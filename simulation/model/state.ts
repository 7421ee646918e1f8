/**
 * One state of the model: two cores, one node, one operation on at most two workloads, `old` (claimed) and `new` (made).
 * Amounts stand for the resources of every kind; a name (of a core's tenure, of a revision) means only what it is equal to
 * and older than, so that there are finitely many states.
 */
export interface State {
  readonly cores: readonly [Core, Core];
  readonly store: StoreState;
  readonly objects: Readonly<Record<Subject, EngineObject | null>>;
  /** How often each hook has run. */
  readonly hooks: Readonly<Record<string, number>>;
  /** Calls that nobody waits for any more and that may still take effect. */
  readonly late: readonly Call[];
}

export type Subject = 'old' | 'new';
export type CoreId = 0 | 1;

export interface Core {
  readonly up: boolean;
  /** What it does, as far as it knows: it may be late, and the operation another core's by now. */
  readonly run: Run | null;
}

export interface Run {
  readonly step: string;
  readonly phase: 'effect' | 'write';
  readonly takenOver: boolean;
  /** The present step was refused: the other transaction is written. */
  readonly refused: boolean;
  /** Something was refused in this run. */
  readonly failed: boolean;
  /** Revisions that it knows: of the header, of the key with the step, and the one that gives the right to effects. */
  readonly header: number;
  readonly own: number;
  readonly right: number;
}

export interface StoreState {
  readonly begun: boolean;
  /** Whether `cores/<core>` of its present tenure is there. */
  readonly leases: readonly [boolean, boolean];
  readonly operation: Operation | null;
  readonly slot: 'booked' | 'recorded' | null;
  /** Amounts in the records; 0 = no record. */
  readonly records: Readonly<Record<Subject, number>>;
  readonly claims: Readonly<Record<Subject, boolean>>;
  readonly released: boolean;
  /** In place of the old one's record; -1 = its record counts. */
  readonly held: number;
  readonly usage: number;
  readonly result: 'ok' | 'refused' | null;
}

export interface Operation {
  /** Undefined: a tenure that is over. */
  readonly owner: CoreId | undefined;
  readonly step: string;
  /** Something was refused, as the header says. */
  readonly refused: boolean;
  /** Revision of the header. */
  readonly header: number;
  /** Revision of the key that has the step: the header's, or the slot's. */
  readonly own: number;
}

export interface EngineObject {
  readonly state: 'created' | 'running' | 'stopped' | 'suspended';
  readonly amount: number;
  /** The highest right that was used on it. */
  readonly right: number;
  /** Made by a call that came too late: an orphan, for the reconciler. */
  readonly orphan: boolean;
}

export interface Call {
  readonly effect: string;
  readonly right: number;
}

/** The same with the cores' names exchanged: the two are alike. */
export function exchanged({ cores, store, ...rest }: State): State {
  const { operation, leases } = store;
  const owner = operation?.owner;
  return {
    ...rest,
    cores: [cores[1], cores[0]],
    store: {
      ...store,
      leases: [leases[1], leases[0]],
      operation: operation === null || owner === undefined ? operation : { ...operation, owner: owner === 0 ? 1 : 0 },
    },
  };
}

/** The state with its revisions renamed to their ranks. */
export function canonical(state: State): State {
  const { operation } = state.store;
  const revisions = new Set<number>([0]);
  if (operation !== null) revisions.add(operation.header).add(operation.own);
  for (const { run } of state.cores) if (run !== null) revisions.add(run.header).add(run.own).add(run.right);
  for (const { right } of state.late) revisions.add(right);
  for (const object of Object.values(state.objects)) if (object !== null) revisions.add(object.right);
  const sorted = [...revisions].toSorted((a, b) => a - b);
  if (sorted.at(-1) === sorted.length - 1) return state;
  const rank = new Map(sorted.map((revision, index) => [revision, index]));
  const of = (revision: number): number => rank.get(revision) as number;
  const core = ({ up, run }: Core): Core => ({
    up,
    run: run === null ? null : { ...run, header: of(run.header), own: of(run.own), right: of(run.right) },
  });
  const object = (one: EngineObject | null): EngineObject | null =>
    one === null ? null : { ...one, right: of(one.right) };
  return {
    ...state,
    cores: [core(state.cores[0]), core(state.cores[1])],
    store: {
      ...state.store,
      operation: operation === null ? null : { ...operation, header: of(operation.header), own: of(operation.own) },
    },
    objects: { old: object(state.objects.old), new: object(state.objects.new) },
    late: state.late.map((call) => ({ ...call, right: of(call.right) })),
  };
}

/** A revision after all that are known. */
export function nextRevision({ cores, store, objects, late }: State): number {
  return (
    1 +
    Math.max(
      store.operation?.header ?? 0,
      store.operation?.own ?? 0,
      objects.old?.right ?? 0,
      objects.new?.right ?? 0,
      ...late.map(({ right }) => right),
      ...cores.map(({ run }) => (run === null ? 0 : Math.max(run.header, run.own, run.right))),
    )
  );
}

/** Equal for equal states; and the key of the same state with its cores' names exchanged. */
export function keysOf({ cores, store, objects, hooks, late }: State): readonly [straight: string, exchanged: string] {
  const { operation: op, leases, records, claims } = store;
  const [first, second] = [keyOfCore(cores[0]), keyOfCore(cores[1])];
  const others = [
    op === null ? '' : `${op.step} ${op.refused} ${op.header} ${op.own}`,
    `${store.begun} ${store.slot} ${records.old} ${records.new} ${claims.old} ${claims.new}`,
    `${store.released} ${store.held} ${store.usage} ${store.result}`,
    keyOfObject(objects.old),
    keyOfObject(objects.new),
    ...Object.entries(hooks).map(([hook, times]) => `${hook} ${times}`),
    ...late.map(({ effect, right }) => `${effect}@${right}`),
  ].join('/');
  const owner = op?.owner;
  return [
    `${first}/${second}/${owner}/${leases[0]}/${leases[1]}/${others}`,
    `${second}/${first}/${owner === undefined ? owner : 1 - owner}/${leases[1]}/${leases[0]}/${others}`,
  ];
}

function keyOfCore({ up, run }: Core): string {
  if (run === null) return String(up);
  return `${run.step} ${run.phase} ${run.takenOver} ${run.refused} ${run.failed} ${run.header} ${run.own} ${run.right}`;
}

function keyOfObject(object: EngineObject | null): string {
  return object === null ? '' : `${object.state} ${object.amount} ${object.right} ${object.orphan}`;
}
