import { assert, EruError, limitConcurrency } from '@eru/kit';

import type { Context } from '../context.ts';
import { drive } from './drive.ts';
import { keys } from '../state/keys.ts';
import type { Tenure } from '../state/membership.ts';
import {
  encode,
  type Outcome,
  type RequestRecord,
  type RollItem,
  type RollOperation,
  type StoredReplace,
  type Versioned,
  type WorkloadRecord,
} from '../state/records.ts';
import { replaceWorkload, type Replaced, type ReplaceRequest } from './replace.ts';
import { once, requestBegin, requestEnd, requestOf, taken, type RequestKey } from './requests.ts';
import { restored, stored } from './spec-of.ts';
import { end, rollTable } from './transitions.ts';

/** The list stands in the header, which each step writes anew. */
export const mostRolled = 500;

export interface RollRequest {
  olds: readonly Pick<WorkloadRecord, 'id' | 'name' | 'node'>[];
  /** At a time, from 1. */
  window: number;
  replace: Omit<ReplaceRequest, 'id' | 'sequence' | 'request'>;
  request?: RequestKey | undefined;
}

/** Told of each old workload when it is over; `replaced` when it was begun, and ended, by this core. */
type Tell = (item: RollItem, replaced: Replaced | undefined) => void;

/**
 * Replaces several workloads, some at a time, each by an operation of its own; after one that fails no further one is begun, nor
 * when `signal` aborts. When the core dies another one goes on with the list. @throws what kept it from being begun or ended
 */
export async function rollWorkloads(
  context: Context,
  tenure: Tenure,
  { olds, window, replace, request }: RollRequest,
  signal: AbortSignal,
  tell: Tell,
): Promise<void> {
  const { app, entrypoint } = replace.instance;
  const operation: RollOperation = {
    v: 1,
    kind: 'roll',
    id: context.random.letters(16),
    owner: tenure.owner,
    createdAtMs: context.clock.now(),
    key: request?.key ?? '',
    app,
    entrypoint,
    window,
    items: olds.map(({ id, name, node }) => ({ id, name, node, step: 'waiting', attempt: 0, error: '' })),
    replace: storedReplace(replace),
  };
  const key = keys.operation(operation.id);
  context.running.add(operation.id);
  try {
    const begun = await context.committer.commit(tenure, {
      own: [{ key, revision: 0, value: encode(operation) }, ...requestBegin(request, operation.id)],
    });
    if (!begun.committed) throw taken(request?.key ?? '');
    const header = { value: operation, createRevision: begun.revision, modRevision: begun.revision, lease: undefined };
    await new Roll(context, tenure, header, replace, signal, tell).run(false);
  } finally {
    context.running.delete(operation.id);
  }
}

/** Goes on with a roll whose core is dead. */
export async function finishRoll(context: Context, tenure: Tenure, header: Versioned<RollOperation>): Promise<void> {
  const { value } = header;
  await new Roll(context, tenure, header, restoredReplace(value), tenure.signal, () => {}).run(true);
}

/** What has become of one replace. */
interface Ended {
  made: RollItem['made'];
  replaced?: Replaced;
  failure?: EruError | undefined;
}

class Roll {
  readonly #context: Context;
  readonly #tenure: Tenure;
  #header: Versioned<RollOperation>;
  readonly #replace: RollRequest['replace'] | undefined;
  readonly #signal: AbortSignal;
  readonly #tell: Tell;
  /** Steps of the items are written one after the other: they share the header. */
  #writing: Promise<unknown> = Promise.resolve();

  constructor(
    context: Context,
    tenure: Tenure,
    header: Versioned<RollOperation>,
    replace: RollRequest['replace'] | undefined,
    signal: AbortSignal,
    tell: Tell,
  ) {
    this.#context = context;
    this.#tenure = tenure;
    this.#header = header;
    this.#replace = replace;
    this.#signal = signal;
    this.#tell = tell;
  }

  async run(takenOver: boolean): Promise<void> {
    const limit = limitConcurrency(this.#header.value.window);
    const open = [...this.#header.value.items.entries()].filter(([, { step }]) => step !== end);
    // Those that were begun are gone on with first.
    const order = open.toSorted(([, a], [, b]) => Number(a.step === 'waiting') - Number(b.step === 'waiting'));
    const runs = await Promise.allSettled(order.map(([index]) => limit(() => this.#one(index, takenOver))));
    for (const run of runs) if (run.status === 'rejected') throw run.reason;
    await this.#end();
  }

  async #one(index: number, takenOver: boolean): Promise<void> {
    const { signal } = this.#tenure;
    let made: RollItem['made'];
    let replaced: Replaced | undefined;
    let skipped = false;
    await drive(
      {
        table: rollTable,
        step: this.#item(index).step,
        takenOver,
        needed: () => true,
        effect: async () => {
          const ended = await this.#replaceOne(index);
          ({ made, replaced } = ended);
          if (ended.failure !== undefined) throw ended.failure;
        },
        write: (transaction, step, failure) =>
          this.#write(index, () => {
            if (transaction === 'take') {
              skipped = true;
              this.#checkTurn();
              skipped = false;
            }
            return {
              step: step as RollItem['step'],
              ...(step === end && { error: failure?.message ?? '' }),
              ...(step === end && failure === undefined && made !== undefined && { made }),
              ...(skipped && { skipped: true }),
            };
          }),
      },
      () => signal.aborted,
    );
    this.#tell(this.#item(index), replaced);
  }

  /** Asked when the writes before its own are known: one that failed meanwhile counts. */
  #checkTurn(): void {
    if (this.#hasFailed()) throw new EruError('canceled', 'not begun, because an earlier one failed');
    if (this.#signal.aborted) throw new EruError('canceled', 'not begun, because the client has left');
    if (this.#replace === undefined)
      throw new EruError('canceled', 'not begun: the core that had its files died, and files are not stored');
  }

  /**
   * Under a key of its own, so that it is begun once, whoever asks. One that somebody else has ended, and that is back, may be so only
   * because its core died: it is tried once more, unless another one has failed.
   */
  async #replaceOne(index: number): Promise<Ended> {
    for (let again = true; ; again = false) {
      const { id, attempt } = this.#item(index);
      const key = keys.rolled(this.#header.value.id, id, attempt);
      const request = { key, digest: '' };
      const begin = (): Promise<Outcome | Replaced> => this.#begin({ id, sequence: index, request });
      const ended = await once<Outcome | Replaced>(this.#context, request, this.#tenure.signal, begin, ([outcome]) => {
        assert(outcome !== undefined, `the result of ${key} is empty`);
        return outcome;
      });
      if ('failure' in ended) {
        const { record, failure } = ended;
        return { made: record && { id: record.id, name: record.name }, replaced: ended, failure };
      }
      const { id: made, name, error } = ended;
      if (error === '') return { made: { id: made, name } };
      if (!again || this.#replace === undefined || this.#hasFailed()) throw new EruError('failed', error);
      await this.#write(index, () => ({ attempt: attempt + 1 }));
    }
  }

  /** One that was begun and lost on the way is ended by whoever takes it over: `taken` has it waited for. */
  async #begin(one: { id: string; sequence: number; request: RequestKey }): Promise<Replaced> {
    if (this.#replace === undefined)
      throw new EruError('canceled', 'the core that had its files died before it was begun');
    try {
      return await replaceWorkload(this.#context, this.#tenure, { ...this.#replace, ...one }, this.#signal);
    } catch (error) {
      const { key } = one.request;
      throw (await requestOf(this.#context, key, this.#tenure.signal)) === undefined ? error : taken(key);
    }
  }

  #hasFailed(): boolean {
    return this.#header.value.items.some(({ step, error }) => step === end && error !== '');
  }

  #item(index: number): RollItem {
    const item = this.#header.value.items[index];
    assert(item !== undefined, `a roll has no item ${index}`);
    return item;
  }

  /** With the end of an item ends what is known of its tries. `change` sees all that was written before. */
  #write(index: number, change: () => Partial<RollItem>): Promise<void> {
    const write = async (): Promise<void> => {
      const item = { ...this.#item(index), ...change() };
      const { value, modRevision } = this.#header;
      const next: RollOperation = { ...value, items: value.items.with(index, item) };
      const tries = Array.from({ length: item.attempt + 1 }, (_, attempt) => keys.rolled(value.id, item.id, attempt));
      const result = await this.#context.committer.commit(this.#tenure, {
        own: [{ key: keys.operation(value.id), revision: modRevision, value: encode(next) }],
        deletes: item.step === end ? tries.map((key) => keys.request(key)) : [],
      });
      if (!result.committed) throw new EruError('fenced', `operation ${value.id} was taken over`);
      this.#header = { ...this.#header, value: next, modRevision: result.revision };
    };
    const written = this.#writing.then(write, write);
    this.#writing = written;
    return written;
  }

  async #end(): Promise<void> {
    const { committer } = this.#context;
    const { value, modRevision } = this.#header;
    const request = await requestOf(this.#context, value.key, this.#tenure.signal);
    const kept = request === undefined ? [] : [await this.#result(request)];
    const result = await committer.commit(this.#tenure, {
      own: [{ key: keys.operation(value.id), revision: modRevision }, ...kept],
    });
    if (!result.committed) throw new EruError('fenced', `operation ${value.id} was taken over`);
  }

  #result(request: Versioned<RequestRecord>): ReturnType<typeof requestEnd> {
    const { key, items } = this.#header.value;
    const outcomes = items.map(({ id, name, node, made, error, skipped }): Outcome => ({
      id: made?.id ?? '',
      name: made?.name ?? '',
      node,
      error,
      hook: '',
      old: { id, name },
      ...(skipped && { skipped }),
    }));
    return requestEnd(this.#context, this.#tenure, key, request, outcomes);
  }
}

/** Everything but files. */
function storedReplace({ instance, inheritNetworks, copy, overlap, gateMs }: RollRequest['replace']): StoredReplace {
  return {
    ...(instance.files.size === 0 && {
      instance: { ...stored({ ...instance, pod: '' }), ignorePull: instance.ignorePull },
    }),
    inheritNetworks,
    copy: Object.fromEntries(copy),
    ...(overlap !== undefined && { overlap }),
    gateMs,
  };
}

function restoredReplace({ app, entrypoint, replace }: RollOperation): RollRequest['replace'] | undefined {
  const { instance, inheritNetworks, copy, overlap, gateMs } = replace;
  if (instance === undefined) return undefined;
  const { ignorePull, ...request } = instance;
  return {
    instance: { ...restored(request, { app, entrypoint, pod: '' }), ignorePull },
    inheritNetworks,
    copy: new Map(Object.entries(copy)),
    overlap,
    gateMs,
    needsImage: false,
  };
}
