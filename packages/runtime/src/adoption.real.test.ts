import type { Engine, WorkloadState } from '@eru/engines';
import { run } from '@eru/kit';
import { beforeAll, describe, expect, it } from 'vitest';

import { describeAsRoot } from '../../../tests/parts.ts';
import type { CrashOrder } from './crash-child.suite.ts';
import { bundleChild, TestNode, type Ways } from './node.suite.ts';
import { lines, specOf } from './spec.suite.ts';

let child = '';
const verbs = {
  conmon: ['create', 'start', 'stop', 'remove', 'end'],
  shell: ['start', 'stop', 'end'],
  plain: ['start', 'remove'],
} as const;

/** Says once that it runs; TERM ends it by the kernel's default. */
const serves = ['/bin/sh', '-c', 'echo run; exec sleep 1000'];
const ends = ['/bin/sh', '-c', 'echo run; sleep 0.1; exit 7'];

describeAsRoot(['runc', 'conmon'], 'a daemon killed before every effect', () => {
  beforeAll(async () => {
    child = await bundleChild('crash-child');
  });

  for (const way of ['conmon', 'shell', 'plain'] as const) {
    describe(way, () => {
      for (const verb of verbs[way]) it(`${verb} is completed by the next one`, () => sweep(way, verb), 120_000);
    });
  }
});

async function sweep(way: Ways, verb: CrashOrder['verb']): Promise<void> {
  const node = await TestNode.create(way);
  const spec = specOf(verb === 'end' ? ends : serves);
  let effect = 0;
  try {
    for (let killed = true; killed; effect++) {
      const order: CrashOrder = { folder: node.folder, machine: node.machine, spec, verb, effect };
      const { code, stdout, stderr } = await run(process.execPath, [child, JSON.stringify(order)]);
      killed = code === 137;
      if (!killed) expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout, 'killed by somebody else before it had prepared anything').toBe('armed');
      const engine = await node.engine();
      const at = `${verb}, killed before effect ${effect}`;
      await complete(engine, verb, spec, at);
      for (const { id } of await engine.list()) await engine.remove(id, { force: true });
      await engine.close();
      expect(await node.leftovers(), at).toEqual([]);
    }
  } finally {
    await node.close();
  }
  // Fewer would mean that nothing was killed in the middle.
  expect(effect).toBeGreaterThan(2);
}

/** What a core does that got no answer: it asks again. */
async function complete(
  engine: Engine,
  verb: CrashOrder['verb'],
  spec: ReturnType<typeof specOf>,
  at: string,
): Promise<void> {
  const found = await engine.list();
  expect(found.length, at).toBeLessThanOrEqual(1);
  const [only] = found;
  if (verb === 'remove') return;
  if (verb === 'create') {
    if (only !== undefined) expect(only.state, at).toBe('created');
    const again = await engine.create(spec);
    expect(again, at).toMatchObject({ state: 'created', id: only?.id ?? again.id });
    return;
  }
  const { id } = only as WorkloadState;
  if (verb === 'end') {
    expect(await engine.wait(id, { timeoutMs: 20_000 }), at).toMatchObject({ exitCode: 7, oomKilled: false });
    expect(await lines(engine, id), at).toEqual(['run']);
    return;
  }
  if (verb === 'start') {
    await engine.start(id);
    expect(await engine.inspect(id), at).toMatchObject({ state: 'running', restarts: 0 });
    // The first one of a stream that goes on; then there is no second.
    for await (const _line of engine.logs(id, { follow: true, signal: AbortSignal.timeout(20_000) })) break;
  }
  await engine.stop(id);
  expect(await engine.inspect(id), at).toMatchObject({ state: 'exited', exitCode: 143, oomKilled: false });
  expect(await lines(engine, id), at).toEqual(['run']);
}
