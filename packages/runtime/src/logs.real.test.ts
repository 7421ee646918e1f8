import type { Engine } from '@eru/engines';
import { readdir } from 'node:fs/promises';
import path from 'node:path';

import { run } from '@eru/kit';
import { describe, expect, it } from 'vitest';

import { describeAsRoot } from '../../../tests/parts.ts';
import type { CrashOrder } from './crash-child.suite.ts';
import { bundleChild, TestNode } from './node.suite.ts';
import { lines, specOf } from './spec.suite.ts';

/** Rotates every few hundred lines, and keeps all of them for the count. */
const limits = { maxBytes: 32 * 1024, files: 1000 };
const last = 20_000;
/** Numbers without a pause, then a silence that is told apart from the end. */
const writer = ['/bin/sh', '-c', `i=0; while [ $i -lt ${last} ]; do i=$((i+1)); echo $i; done; exec sleep 1000`];
const numbers = Array.from({ length: last }, (_, index) => String(index + 1));

describeAsRoot(['runc', 'conmon'], 'a log that is rotated under a writer that does not stop', () => {
  describe.each(['conmon', 'shell', 'plain'] as const)('%s', (way) => {
    it('loses no line, for a follower and for one who comes later, over daemons that are killed', async () => {
      const node = await TestNode.create(way);
      const child = await bundleChild('crash-child');
      const spec = specOf(writer);
      // Started by a daemon that is killed while the command writes; the next ones are killed in rotations.
      const order: CrashOrder = {
        folder: node.folder,
        machine: node.machine,
        spec,
        verb: 'start',
        effect: 1e6,
        log: limits,
      };
      expect((await run(process.execPath, [child, JSON.stringify(order)])).code).toBe(0);
      for (const effect of [0, 1, 2, 5, 9]) {
        const next: CrashOrder = { ...order, verb: 'adopt', effect };
        expect((await run(process.execPath, [child, JSON.stringify(next)])).code).toBe(137);
      }
      const engine = await node.engine({ log: limits });
      const [{ id } = { id: '' }] = await engine.list();
      expect(await follow(engine, id)).toEqual(numbers);
      await engine.stop(id, { graceMs: 0 });
      expect(await lines(engine, id)).toEqual(numbers);
      const log = await readdir(path.join(node.folder, 'workloads', id, 'log'));
      expect(log.length).toBeGreaterThan(3);
      await engine.close();
      await node.close();
    });

    it('keeps no more files than it may', async () => {
      const node = await TestNode.create(way);
      const engine = await node.engine({ log: { maxBytes: 16 * 1024, files: 3 } });
      const { id } = await engine.create(specOf(writer));
      await engine.start(id);
      expect((await follow(engine, id)).at(-1)).toBe(String(last));
      await engine.stop(id, { graceMs: 0 });
      expect((await readdir(path.join(node.folder, 'workloads', id, 'log'))).length).toBeLessThanOrEqual(3);
      const kept = await lines(engine, id);
      expect(kept).toEqual(numbers.slice(-kept.length));
      await engine.close();
      await node.close();
    });
  });
});

/** All lines up to the last number. */
async function follow(engine: Engine, id: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { data } of engine.logs(id, { follow: true, signal: AbortSignal.timeout(30_000) })) {
    found.push(Buffer.from(data).toString().trimEnd());
    if (found.at(-1) === String(last)) break;
  }
  return found;
}
