import {
  end,
  rollWrites,
  rowOf,
  slotWrites,
  tableOf,
  workloadWrites,
  type OperationRecord,
  type Slot,
  type Snapshot,
  type Table,
  type Target,
  type Writes,
} from '@eru/core';
import { describe, expect, it } from 'vitest';

import { countPoints, sweepOne } from '../crash-sweep.ts';
import { scenarios } from '../scenarios.ts';

/** What one transaction did to an operation, as the store shows it before and after. */
type Seen = Omit<Writes, 'record' | 'held' | 'usage'> & { record?: 'rewrite' | 'delete'; usage?: true };

type ClaimedOperation = Extract<OperationRecord, { step: string }>;

/**
 * The model believes what `transitions.ts` says of the transactions. So the real ones, of disturbed runs, are compared with it:
 * from step to step, each changes the keys that a transaction of the table declares, and no others.
 */
describe('the transactions write what the tables declare', () => {
  it.each(scenarios)('$name', async (scenario) => {
    const seen = new Set<string>();
    const undeclared = new Set<string>();
    const points = await countPoints(scenario, 7);
    for (let index = 0; index < points.length; index += 7) {
      let before: Snapshot | undefined;
      const look = (after: Snapshot): void => {
        for (const { text, declared } of before === undefined ? [] : transactions(before, after))
          (declared ? seen : undeclared).add(text);
        before = after;
      };
      await sweepOne(scenario, 7, index, index % 2 === 0 ? 'error' : 'crash', { look });
    }
    expect([...undeclared]).toEqual([]);
    expect(seen.size).toBeGreaterThan(0);
  });
});

/** The steps that operations have made between two revisions. */
function transactions(before: Snapshot, after: Snapshot): { text: string; declared: boolean }[] {
  return headers(before).flatMap((operation) => {
    const slots = slotsOf(before, operation.id);
    const step = (
      from: string,
      to: string,
      changes: Seen,
      writes: Readonly<Record<string, Writes>>,
    ): { text: string; declared: boolean } => ({
      text: `${operation.kind}: ${from} → ${to} wrote ${JSON.stringify(changes)}`,
      declared: candidates(tableOf(operation), from).some(
        ([name, next]) => next === to && isDeclared(changes, writes[name] ?? {}),
      ),
    });
    if ('step' in operation) {
      const next = valueIn<ClaimedOperation>(after, `operations/${operation.id}`)?.step ?? end;
      if (next === operation.step) return [];
      return [step(operation.step, next, changesOf(before, after, operation, slots[0]), workloadWrites)];
    }
    if (operation.kind === 'roll') {
      const next = valueIn<typeof operation>(after, `operations/${operation.id}`)?.items;
      return operation.items.flatMap(({ step: from }, index) => {
        const to = next?.[index]?.step ?? from;
        return from === to ? [] : [step(from, to, {}, rollWrites)];
      });
    }
    const later = new Map(slotsOf(after, operation.id).map((slot) => [slot.name, slot]));
    return slots
      .filter(({ name, step: now }) => later.get(name)?.step !== now)
      .map((slot) => {
        const next = later.get(slot.name);
        return step(slot.step, next?.step ?? end, slotChanges(before, after, slot, next), slotWrites);
      });
  });
}

/** Every transaction that may follow a step, over rows that may have nothing to do. */
function candidates(table: Table, step: string): Target[] {
  const found: Target[] = [];
  const follow = ([name, next]: Target): void => {
    found.push([name, next]);
    if (next === end) return;
    const [after, further] = rowOf(table, next).ok;
    if (name === 'mark' || after === 'mark') follow([name === 'mark' ? after : name, further]);
  };
  const { ok, refused } = rowOf(table, step);
  follow(ok);
  if (refused !== undefined) follow(refused);
  return found;
}

/** A claim that comes first stands already; what is not there need not be deleted, and amounts may turn out to be equal; all else is as declared. */
function isDeclared(changes: Seen, { held: _held, usage, record, ...others }: Writes): boolean {
  const declared: Seen = {
    ...others,
    ...(record !== undefined && { record: record === 'delete' ? 'delete' : 'rewrite' }),
    ...(usage !== undefined && { usage: true }),
  };
  const all = new Set([...Object.keys(declared), ...Object.keys(changes)] as (keyof Seen)[]);
  return [...all].every((key) => {
    if (changes[key] === declared[key]) return true;
    return changes[key] === undefined && (declared[key] === 'delete' || declared[key] === 'first' || key === 'usage');
  });
}

function changesOf(
  before: Snapshot,
  after: Snapshot,
  { id, workload, node }: ClaimedOperation,
  slot: Slot | undefined,
): Seen {
  const later = slotsOf(after, id)[0];
  const record = change(before, after, `workloads/${workload}`);
  return {
    ...(record !== undefined && record !== 'put' && { record }),
    ...(change(before, after, `released/${workload}`) === 'put' && { release: 'put' }),
    ...(slot === undefined ? later !== undefined && { slot: 'put' } : slotChanges(before, after, slot, later)),
    ...(change(before, after, `node-resources/${node}`) !== undefined && { usage: true }),
  };
}

function slotChanges(before: Snapshot, after: Snapshot, slot: Slot, later: Slot | undefined): Seen {
  const { id } = later ?? slot;
  const record = id === '' ? undefined : change(before, after, `workloads/${id}`);
  const claim = id === '' ? undefined : change(before, after, `claims/${id}`);
  const recorded = later?.recorded === true && !slot.recorded;
  return {
    ...(later === undefined ? { slot: 'delete' } : recorded && { slot: 'recorded' }),
    ...(record !== undefined && record !== 'rewrite' && { newRecord: record }),
    ...(claim !== undefined && claim !== 'rewrite' && { newClaim: claim }),
  };
}

function change(before: Snapshot, after: Snapshot, key: string): 'put' | 'delete' | 'rewrite' | undefined {
  const [old, made] = [before.kvs.get(key), after.kvs.get(key)];
  if (old === undefined) return made === undefined ? undefined : 'put';
  if (made === undefined) return 'delete';
  return Buffer.compare(old.value, made.value) === 0 ? undefined : 'rewrite';
}

function headers(shot: Snapshot): OperationRecord[] {
  const all = [...shot.kvs.keys()].filter((key) => /^operations\/[^/]+$/.test(key));
  return all.flatMap((key) => valueIn<OperationRecord>(shot, key) ?? []);
}

function slotsOf(shot: Snapshot, operation: string): Slot[] {
  const all = [...shot.kvs.keys()].filter((key) => key.startsWith(`operations/${operation}/`));
  return all.flatMap((key) => valueIn<{ slots: Slot[] }>(shot, key)?.slots ?? []);
}

function valueIn<T>({ kvs }: Snapshot, key: string): T | undefined {
  const kv = kvs.get(key);
  return kv === undefined ? undefined : (JSON.parse(new TextDecoder().decode(kv.value)) as T);
}
