import type { Engine } from '@eru/engines';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { run } from '@eru/kit';
import { afterEach, describe, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import type { CrashOrder } from '../crash-child.suite.ts';
import { bundleChild, TestNode } from '../node.suite.ts';
import { lines, specOf } from '../spec.suite.ts';

/** Rotates every few hundred lines, and keeps all of them for the count. */
const limits = { maxBytes: 32 * 1024, files: 10_000 };
/** Numbers until it is killed, some ten thousand a second. */
const endless = [
  '/bin/sh',
  '-c',
  'i=0; while :; do j=0; while [ $j -lt 100 ]; do j=$((j+1)); i=$((i+1)); echo $i; done; sleep 0.01; done',
];
const last = 20_000;
const writer = ['/bin/sh', '-c', `i=0; while [ $i -lt ${last} ]; do i=$((i+1)); echo $i; done; exec sleep 1000`];

describeAsRoot(['runc', 'conmon'], 'a log that is rotated under a writer that does not stop', () => {
  describe.each(['conmon', 'shell'] as const)('%s', (way) => {
    let node: TestNode;
    afterEach(() => node.close());

    it('loses no line, for a follower and for one who comes later, over daemons that are killed', async () => {
      node = await TestNode.create(way);
      const child = await bundleChild('crash-child');
      const base = { folder: node.folder, machine: node.machine, spec: specOf(endless), log: limits };
      const daemon = (verb: CrashOrder['verb'], effect: number): Promise<{ code: number }> =>
        run(process.execPath, [child, JSON.stringify({ ...base, verb, effect } satisfies CrashOrder)]);
      expect(await daemon('start', 1e6)).toMatchObject({ code: 0 });
      // Each is killed a step later in what it does for the log.
      for (const effect of [3, 4, 5, 6, 7, 8, 9, 12])
        expect(await daemon('adopt', effect)).toMatchObject({ code: 137 });
      const engine = await node.engine({ log: limits });
      const [{ id } = { id: '' }] = await engine.list();
      const followed = await follow(engine, id, last);
      expect(followed).toEqual(numbers(followed.length));
      await engine.stop(id, { graceMs: 0 });
      const whole = await lines(engine, id);
      expect(whole.length).toBeGreaterThanOrEqual(followed.length);
      expect(whole).toEqual(numbers(whole.length));
      const log = await readdir(path.join(node.folder, 'workloads', id, 'log'));
      expect(log.length).toBeGreaterThan(3);
    });

    it('keeps no more files than it may', async () => {
      node = await TestNode.create(way);
      const engine = await node.engine({ log: { maxBytes: 16 * 1024, files: 3 } });
      const { id } = await engine.create(specOf(writer));
      await engine.start(id);
      expect((await follow(engine, id, last)).at(-1)).toBe(String(last));
      await engine.stop(id, { graceMs: 0 });
      expect((await readdir(path.join(node.folder, 'workloads', id, 'log'))).length).toBeLessThanOrEqual(3);
      const kept = await lines(engine, id);
      expect(kept).toEqual(numbers(last).slice(-kept.length));
    });
  });
});

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index + 1));
}

/** All lines up to this number. */
async function follow(engine: Engine, id: string, end: number): Promise<string[]> {
  const found: string[] = [];
  for await (const { data } of engine.logs(id, { follow: true, signal: AbortSignal.timeout(30_000) })) {
    found.push(Buffer.from(data).toString().trimEnd());
    if (found.at(-1) === String(end)) break;
  }
  return found;
}
