import { EruError } from '@eru/kit';
import type { WatchBatch } from '@eru/store';

export const objectKinds = ['pod', 'node', 'workload', 'operation'] as const;
export type ObjectKind = (typeof objectKinds)[number];

/** Something that people name, which one or several keys are about. */
export interface ObjectName {
  kind: ObjectKind;
  name: string;
}

/** Which objects one revision of the store has changed. */
interface Entry {
  revision: number;
  objects: ObjectName[];
}

/** Names that are kept: what a watcher may fall behind before it has to list anew. */
const mostNames = 50_000;

/**
 * The last changes in the order of the store's revisions, for all watchers together: each is a cursor, so one that is slow
 * costs nothing and holds nobody. Only names are kept; what has become of an object is in the view.
 */
export class ChangeLog {
  #entries: Entry[] = [];
  #names = 0;
  /** Everything after this revision is here, up to `end`. */
  #start = 0;
  #end = 0;
  readonly #waiting = new Set<() => void>();

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  /** Everything was read anew at this revision: what happened since is not known one by one. */
  restart(revision: number): void {
    this.#entries = [];
    this.#names = 0;
    [this.#start, this.#end] = [revision, revision];
    this.#wake();
  }

  append(batch: WatchBatch): void {
    if (batch.revision <= this.#end) return;
    this.#end = batch.revision;
    const objects = objectsOf(batch);
    if (objects.length === 0) return;
    this.#entries.push({ revision: batch.revision, objects });
    this.#names += objects.length;
    if (this.#names > 2 * mostNames) this.#trim();
    this.#wake();
  }

  /**
   * What has changed after `revision`, each object once, and up to where that goes.
   * @throws EruError `compacted` when it is not known any more
   */
  after(revision: number, most: number): { revision: number; objects: ObjectName[] } {
    if (revision < this.#start)
      throw new EruError('compacted', `changes after revision ${revision} are gone here; list again`, {
        details: { oldest: this.#start },
      });
    const found = new Map<string, ObjectName>();
    let reached = revision;
    for (let index = this.#firstAfter(revision); index < this.#entries.length && found.size < most; index++) {
      const entry = this.#entries[index] as Entry;
      for (const object of entry.objects) found.set(`${object.kind}/${object.name}`, object);
      reached = entry.revision;
    }
    return { revision: reached, objects: [...found.values()] };
  }

  /** Something is to be told that is in no revision. */
  nudge(): void {
    this.#wake();
  }

  /** Resolves at the next change, or when `signal` aborts. */
  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      if (signal.aborted) return resolve();
      this.#waiting.add(done);
      signal.addEventListener('abort', done, { once: true });
    });
  }

  #firstAfter(revision: number): number {
    let [low, high] = [0, this.#entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#entries[middle] as Entry).revision <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #trim(): void {
    let drop = 0;
    while (this.#names > mostNames && drop < this.#entries.length) {
      const { revision, objects } = this.#entries[drop++] as Entry;
      this.#names -= objects.length;
      this.#start = revision;
    }
    this.#entries = this.#entries.slice(drop);
  }

  #wake(): void {
    for (const done of this.#waiting) done();
  }
}

/** Each object once. */
export function objectsOf({ events }: WatchBatch): ObjectName[] {
  const found = new Map<string, ObjectName>();
  for (const event of events) {
    const object = objectOf(event.type === 'put' ? event.kv.key : event.key);
    if (object !== undefined) found.set(`${object.kind}/${object.name}`, object);
  }
  return [...found.values()];
}

/** The object that a key tells of. */
function objectOf(key: string): ObjectName | undefined {
  const [top = '', second = '', third = ''] = key.split('/', 3);
  if (top === 'status') return { kind: second === 'nodes' ? 'node' : 'workload', name: third };
  const kind = kindOfKey[top];
  return kind === undefined ? undefined : { kind, name: second };
}

const kindOfKey: Readonly<Record<string, ObjectKind>> = {
  pods: 'pod',
  nodes: 'node',
  'node-resources': 'node',
  workloads: 'workload',
  claims: 'workload',
  operations: 'operation',
};
