import type { StoreEvent, WatchBatch } from '@eru/store';
import { expect, test } from 'vitest';

import { ChangeLog } from './change-log.ts';

const gone = (revision: number, ...keys: string[]): WatchBatch => ({
  revision,
  events: keys.map((key): StoreEvent => ({ type: 'delete', key, modRevision: revision })),
});
const names = (log: ChangeLog, after: number, most = 1000): string[] =>
  log.after(after, most).objects.map(({ kind, name }) => `${kind} ${name}`);

test('names the objects that keys tell of, each once, in the order of revisions', () => {
  const log = new ChangeLog();
  log.restart(10);
  log.append(gone(11, 'workloads/w', 'status/workloads/w', 'claims/w', 'node-resources/n', 'cluster', 'cores/c'));
  log.append(gone(12, 'operations/o', 'operations/o/n/0', 'status/nodes/n', 'pods/p', 'requests/k'));
  log.append(gone(13));
  expect(names(log, 10)).toEqual(['workload w', 'node n', 'operation o', 'pod p']);
  expect(names(log, 11)).toEqual(['operation o', 'node n', 'pod p']);
  expect(names(log, 12)).toEqual([]);
  expect(log.end).toBe(13);
  // A part ends with a whole revision.
  expect(log.after(10, 1)).toMatchObject({ revision: 11, objects: [{ name: 'w' }, { name: 'n' }] });
});

test('says what a watcher that falls behind has missed, and holds nobody else', () => {
  const log = new ChangeLog();
  log.restart(1);
  for (let revision = 2; revision < 150_000; revision++) log.append(gone(revision, `pods/p${revision % 7}`));
  expect(() => log.after(1, 10)).toThrow(expect.objectContaining({ code: 'compacted' }));
  expect(names(log, 149_998)).toEqual([`pod p${149_999 % 7}`]);
  expect(names(log, log.start)).toHaveLength(7);
  log.restart(200_000);
  expect(() => log.after(149_999, 10)).toThrow(/list again/);
  expect(names(log, 200_000)).toEqual([]);
});

test('wakes who waits at a change, and when that one leaves', async () => {
  const log = new ChangeLog();
  log.restart(1);
  const [stay, leave] = [new AbortController(), new AbortController()];
  const woken: string[] = [];
  const waits = [
    log.changed(stay.signal).then(() => woken.push('stays')),
    log.changed(leave.signal).then(() => woken.push('leaves')),
  ];
  leave.abort();
  await waits[1];
  expect(woken).toEqual(['leaves']);
  log.append(gone(2, 'pods/p'));
  await Promise.all(waits);
  expect(woken).toEqual(['leaves', 'stays']);
});
