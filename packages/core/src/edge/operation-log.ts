import type { OperationRecord, Slot, SlotsRecord } from '../state/records.ts';
import type { Change } from '../state/tables.ts';
import type { ClusterView } from '../state/view.ts';

/** Ended operations that are remembered; every core sees all of them end, and remembers them by itself. */
const kept = 500;

/** An operation with the last that was seen of it. */
export interface Seen {
  record: OperationRecord;
  slots: { node: string; slot: Slot }[];
  /** 0 = in flight. */
  endedAtMs: number;
}

/** Follows all operations of the cluster: those in flight from the view, those that have ended from what the view lost. */
export class OperationLog {
  readonly #view: ClusterView;
  readonly #now: () => number;
  readonly #ended = new Map<string, Seen>();
  /** Slots of operations that have lost some already: the last that was seen of them. */
  readonly #slots = new Map<string, Map<string, SlotsRecord>>();
  readonly #listeners = new Set<(operation: Seen) => void>();
  readonly #unsubscribe: () => void;

  constructor(view: ClusterView, now: () => number) {
    this.#view = view;
    this.#now = now;
    this.#unsubscribe = view.subscribe((change) => this.#changed(change));
  }

  close(): void {
    this.#unsubscribe();
    this.#listeners.clear();
  }

  /** Told of every change of an operation; returns the way to stop. */
  subscribe(listener: (operation: Seen) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** One that is in flight. */
  of(id: string): Seen | undefined {
    const record = this.#view.operations.get(id)?.value;
    return record === undefined ? undefined : this.#seen(record);
  }

  /** In flight, oldest first. */
  running(): Seen[] {
    return [...this.#view.operations]
      .map(([, { value }]) => this.#seen(value))
      .toSorted((a, b) => a.record.createdAtMs - b.record.createdAtMs || (a.record.id < b.record.id ? -1 : 1));
  }

  /** The last ones that ended, in that order. */
  ended(): Seen[] {
    return [...this.#ended.values()];
  }

  #changed({ table, name, before, after }: Change): void {
    if (table === 'operations') {
      const record = (after ?? before)?.value as OperationRecord;
      if (after === undefined) this.#end(record);
      else this.#tell(() => this.#seen(record));
    } else if (table === 'slots') {
      const [operation = ''] = name.split('/');
      const slots = this.#slots.get(operation) ?? new Map<string, SlotsRecord>();
      const known = (after ?? before)?.value as SlotsRecord;
      slots.set(name, merged(slots.get(name), known));
      this.#slots.set(operation, slots);
      const record = this.#view.operations.get(operation)?.value;
      if (record === undefined) this.#slots.delete(operation);
      else if (after !== undefined) this.#tell(() => this.#seen(record));
    }
  }

  #end(record: OperationRecord): void {
    const slots = [...(this.#slots.get(record.id) ?? [])].flatMap(([key, value]) => placed(key, value));
    this.#slots.delete(record.id);
    const seen: Seen = { record, slots, endedAtMs: this.#now() };
    this.#ended.set(record.id, seen);
    for (const id of this.#ended.keys()) {
      if (this.#ended.size <= kept) break;
      this.#ended.delete(id);
    }
    this.#tell(() => seen);
  }

  #seen(record: OperationRecord): Seen {
    const slots = this.#view.slotsOf(record.id).flatMap(([key, { value }]) => placed(key, value));
    return { record, slots, endedAtMs: 0 };
  }

  /** Nothing is put together when nobody listens. */
  #tell(make: () => Seen): void {
    if (this.#listeners.size === 0) return;
    const seen = make();
    for (const listener of this.#listeners) listener(seen);
  }
}

/** What was known of slots that are gone by now stays known. */
function merged(before: SlotsRecord | undefined, after: SlotsRecord): SlotsRecord {
  const slots = new Map([...(before?.slots ?? []), ...after.slots].map((slot) => [slot.name, slot]));
  return { v: 1, slots: [...slots.values()] };
}

function placed(key: string, { slots }: SlotsRecord): { node: string; slot: Slot }[] {
  const node = key.split('/')[1] ?? '';
  return slots.map((slot) => ({ node, slot }));
}
