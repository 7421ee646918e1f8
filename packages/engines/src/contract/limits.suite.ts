import { describe, expect, it } from 'vitest';

import type { Bench, EngineTraits } from './bench.suite.ts';
import { limited, refused, said, widened } from './bench.suite.ts';
import type { Limits } from '../engine.ts';

export function limitTests(get: () => Bench, traits: EngineTraits): void {
  const lacks = (verb: 'update' | 'suspend'): boolean => traits.unsupported?.includes(verb) ?? false;
  const enforced = (limits: Limits): Limits =>
    Object.fromEntries(
      Object.entries(limits).filter(([name]) =>
        (traits.enforces ?? ['cpu', 'memoryBytes', 'pids']).includes(name as keyof Limits),
      ),
    );

  describe('limits', () => {
    it('are read back while it runs', async () => {
      const bench = get();
      const wanted = { cpu: 0.5, memoryBytes: 64 * 1024 ** 2, pids: 64 };
      const id = await bench.running(bench.programs.serves(), { engineParams: limited, pids: 64 });
      const { limits } = await bench.engine.inspect(id);
      expect(limits.requested).toEqual(wanted);
      expect(limits.effective).toMatchObject(enforced(wanted));
    });

    it('are absent where nothing was asked', async () => {
      const bench = get();
      const { limits } = await bench.created(bench.programs.serves());
      expect(limits.requested).toEqual({});
    });

    it.skipIf(lacks('update'))('change while it runs, and stay over a restart', async () => {
      const bench = get();
      const id = await bench.running(bench.programs.serves(), { engineParams: limited });
      const before = await bench.engine.inspect(id);
      const wanted = { cpu: 0.25, memoryBytes: 96 * 1024 ** 2 };
      const { limits, pid } = await bench.engine.update(id, widened);
      expect(limits.requested).toEqual(wanted);
      expect(limits.effective).toMatchObject(enforced(wanted));
      expect(pid).toBe(before.pid);
      await bench.engine.stop(id);
      await bench.engine.start(id);
      const again = (await bench.engine.inspect(id)).limits;
      expect(again.requested).toEqual(wanted);
      expect(again.effective).toMatchObject(enforced(wanted));
      await refused(bench.engine.update(id, { cpumem: { memory: -5 } }), 'invalid');
    });

    it('stats tell what it uses', async () => {
      const bench = get();
      const id = await bench.running();
      const first = await bench.engine.stats(id);
      expect(first.pids).toBeGreaterThanOrEqual(1);
      expect(first.memoryBytes).toBeGreaterThan(0);
      const second = await bench.engine.stats(id);
      expect(second.cpuSeconds).toBeGreaterThanOrEqual(first.cpuSeconds);
      expect(second.atMs).toBeGreaterThanOrEqual(first.atMs);
    });
  });

  describe('fence', () => {
    it('refuses an effect that comes too late', async () => {
      const { engine, programs } = get();
      const spec = get().spec(programs.serves());
      const { id } = await engine.create(spec, { revision: 5 });
      await engine.start(id, { revision: 7 });
      await get().ready(id);
      await refused(engine.stop(id, { revision: 6 }), 'fenced');
      await refused(engine.create(spec, { revision: 6 }), 'fenced');
      if (!lacks('update')) await refused(engine.update(id, widened, { revision: 6 }), 'fenced');
      expect(await engine.inspect(id)).toMatchObject({ state: 'running', revision: 7 });
      // The same revision is the same right, sent again; people at the socket have none.
      await engine.stop(id, { revision: 7 });
      await refused(engine.start(id, { revision: 6 }), 'fenced');
      await engine.start(id);
      expect(await engine.inspect(id)).toMatchObject({ state: 'running', revision: 7 });
      await engine.stop(id, { revision: 9 });
      await refused(engine.remove(id, { revision: 8 }), 'fenced');
      await engine.remove(id, { revision: 9 });
      await refused(engine.inspect(id), 'not_found');
    });
  });

  describe('ports', () => {
    it('are chosen by name, differ, stay, and are told to the workload', async () => {
      const bench = get();
      const first = await bench.running(bench.programs.serves(), { publish: ['http', 'admin-api'] });
      const { ports } = await bench.engine.inspect(first);
      const other = await bench.created(bench.programs.serves(), { publish: ['http'] });
      const chosen = [...Object.values(ports), other.ports['http']];
      expect(new Set(chosen).size).toBe(3);
      for (const port of chosen) expect(port).toBeGreaterThan(0);
      await bench.engine.stop(first);
      await bench.engine.start(first);
      await bench.ready(first);
      expect((await bench.engine.inspect(first)).ports).toEqual(ports);
      const told = await said(await bench.exec(first, bench.programs.env('ERU_PORT_ADMIN_API')));
      expect(told.stdout).toBe(`${ports['admin-api']}\n`);
    });
  });

  describe.skipIf(lacks('suspend'))('suspend', () => {
    it('pauses what runs until it is resumed', async () => {
      const { engine, programs } = get();
      const { id } = await get().created(programs.serves());
      await refused(engine.suspend(id), 'precondition');
      await engine.start(id);
      await engine.suspend(id);
      await engine.suspend(id);
      expect(await engine.inspect(id)).toMatchObject({ state: 'paused' });
      await refused(engine.start(id), 'precondition');
      await engine.resume(id);
      await engine.resume(id);
      expect(await engine.inspect(id)).toMatchObject({ state: 'running' });
      await engine.suspend(id);
      await engine.stop(id, { graceMs: 0 });
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137 });
      await refused(engine.resume(id), 'precondition');
    });
  });
}
