import { describe, expect, it } from 'vitest';

import type { Bench } from './bench.suite.ts';
import { refused } from './bench.suite.ts';
import type { EngineEvent } from '../engine.ts';
import { labelNames } from '../engine.ts';

export function lifeTests(get: () => Bench): void {
  describe('create', () => {
    it('makes a workload that does not run', async () => {
      const { engine, spec, programs } = bound(get());
      const wanted = spec(programs.serves(), { env: ['A=1'], labels: { extra: 'yes' } });
      const state = await engine.create(wanted);
      expect(state).toMatchObject({ name: wanted.name, labels: wanted.labels, state: 'created', pid: 0, restarts: 0 });
      expect(state).toMatchObject({ startedAtMs: 0, finishedAtMs: 0, exitCode: 0, oomKilled: false });
      expect(state.id).toMatch(/^[0-9a-f]{64}$/);
      expect(state.createdAtMs).toBeGreaterThan(0);
      expect(await engine.inspect(state.id)).toEqual(state);
    });

    it('finds what its own operation has made, and refuses the name to others', async () => {
      const { engine, spec, programs } = bound(get());
      const wanted = spec(programs.serves());
      const first = await engine.create(wanted);
      await engine.start(first.id);
      expect(await engine.create(wanted)).toMatchObject({ id: first.id, state: 'running' });
      await refused(
        engine.create({ ...wanted, labels: { ...wanted.labels, [labelNames.operation]: 'other' } }),
        'exists',
      );
      expect(await engine.list({ labels: { suite: 'contract' } })).toHaveLength(1);
    });

    it('makes one of two at once', async () => {
      const { engine, spec, programs } = bound(get());
      const wanted = spec(programs.serves());
      const [first, second] = await Promise.all([engine.create(wanted), engine.create(wanted)]);
      expect(first.id).toBe(second.id);
    });

    it('refuses a bad spec and leaves nothing behind', async () => {
      const { engine, spec, programs } = bound(get());
      await refused(engine.create(spec([], { image: '' })), 'invalid');
      await refused(engine.create(spec(programs.serves(), { name: '' })), 'invalid');
      await refused(engine.create(spec(programs.serves(), { publish: ['no port'] })), 'invalid');
      await refused(engine.create(spec(programs.serves(), { engineParams: { cpumem: { memory: -1 } } })), 'invalid');
      expect(await engine.list({ labels: { suite: 'contract' } })).toEqual([]);
    });
  });

  describe('run', () => {
    it('starts once, stops, and starts again', async () => {
      const { bench, engine, programs } = bound(get());
      const id = await bench.running(programs.serves());
      const first = await engine.inspect(id);
      expect(first).toMatchObject({ state: 'running', finishedAtMs: 0 });
      expect(first.pid).toBeGreaterThan(0);
      await engine.start(id);
      expect(await engine.inspect(id)).toMatchObject({ pid: first.pid, startedAtMs: first.startedAtMs });

      await engine.stop(id);
      const stopped = await engine.inspect(id);
      expect(stopped).toMatchObject({ state: 'exited', pid: 0, exitCode: 143, oomKilled: false });
      expect(stopped.finishedAtMs).toBeGreaterThanOrEqual(first.startedAtMs);
      await engine.stop(id);

      await engine.start(id);
      const again = await engine.inspect(id);
      expect(again).toMatchObject({ id, state: 'running' });
      expect(again.startedAtMs).toBeGreaterThanOrEqual(stopped.finishedAtMs);
    });

    it('kills what does not heed TERM: after the grace time, or at once', async () => {
      const { bench, engine, programs } = bound(get());
      const id = await bench.running(programs.stubborn);
      const before = Date.now();
      await engine.stop(id, { graceMs: 300 });
      expect(Date.now() - before).toBeGreaterThanOrEqual(290);
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137, oomKilled: false });
      await engine.start(id);
      await bench.ready(id);
      await engine.stop(id, { graceMs: 0 });
      expect(await engine.inspect(id)).toMatchObject({ state: 'exited', exitCode: 137 });
    });

    it('sends signals to what runs, and only to that', async () => {
      const { bench, engine, programs } = bound(get());
      const id = await bench.running(programs.serves());
      await refused(engine.kill(id, 'SIGNONSENSE'), 'invalid');
      await engine.kill(id, 'SIGKILL');
      expect(await engine.wait(id)).toMatchObject({ exitCode: 137, oomKilled: false });
      await refused(engine.kill(id, 'SIGTERM'), 'precondition');
    });

    it('waits for the end and tells how it was', async () => {
      const { bench, engine, programs } = bound(get());
      const { id } = await bench.created(programs.exits(7));
      await engine.start(id);
      const exit = await engine.wait(id);
      expect(exit).toMatchObject({ exitCode: 7, oomKilled: false });
      const state = await engine.inspect(id);
      expect(state).toMatchObject({ state: 'exited', exitCode: 7, finishedAtMs: exit.finishedAtMs });
      expect(exit.finishedAtMs).toBeGreaterThanOrEqual(state.startedAtMs);
    });

    it('waits no longer than the caller does', async () => {
      const { bench, engine, programs } = bound(get());
      const id = await bench.running(programs.serves());
      await refused(engine.wait(id, { timeoutMs: 50 }), 'timeout');
      const leave = new AbortController();
      const waiting = engine.wait(id, { signal: leave.signal });
      leave.abort();
      await refused(waiting, 'canceled');
      expect(await engine.inspect(id)).toMatchObject({ state: 'running' });
    });
  });

  describe('remove', () => {
    it('refuses what runs unless forced, and leaves no trace', async () => {
      const { bench, engine, spec, programs } = bound(get());
      const wanted = spec(programs.serves(), { publish: ['http'] });
      const { id } = await engine.create(wanted);
      await engine.start(id);
      await bench.ready(id);
      await refused(engine.remove(id), 'precondition');
      await engine.remove(id, { force: true });
      await refused(engine.inspect(id), 'not_found');
      expect(await engine.list({ labels: { suite: 'contract' } })).toEqual([]);
      await engine.remove(id);
      // The name is free again, for anybody.
      const labels = { ...wanted.labels, [labelNames.operation]: 'other' };
      expect((await engine.create({ ...wanted, labels })).id).not.toBe(id);
    });

    it('removes what has stopped, and what never ran', async () => {
      const { bench, engine, programs } = bound(get());
      const id = await bench.running(programs.serves());
      await engine.stop(id);
      await engine.remove(id);
      const { id: idle } = await bench.created(programs.serves());
      await engine.remove(idle);
      expect(await engine.list({ labels: { suite: 'contract' } })).toEqual([]);
    });
  });

  describe('list and events', () => {
    it('lists by labels, in name order', async () => {
      const { engine, spec, programs } = bound(get());
      const b = await engine.create(spec(programs.serves(), { name: 'contract_b_x', labels: { x: '1', y: '1' } }));
      const a = await engine.create(spec(programs.serves(), { name: 'contract_a_x', labels: { x: '1' } }));
      const ids = async (labels: Record<string, string>): Promise<string[]> =>
        (await engine.list({ labels: { suite: 'contract', ...labels } })).map(({ id }) => id);
      expect(await ids({ x: '1' })).toEqual([a.id, b.id]);
      expect(await ids({ x: '1', y: '1' })).toEqual([b.id]);
      expect(await ids({ x: '2' })).toEqual([]);
      expect((await engine.list()).map(({ name }) => name)).toEqual(expect.arrayContaining([a.name, b.name]));
    });

    it('tells what happens, and goes on from a cursor without a gap', async () => {
      const { bench, engine, programs } = bound(get());
      const stop = new AbortController();
      const events = engine.events({ signal: stop.signal })[Symbol.asyncIterator]();
      expect((await events.next()).value).toMatchObject({ type: 'ready' });
      const { id, name } = await bench.created(programs.exits(0));
      await engine.start(id);
      await engine.wait(id);
      await engine.remove(id);
      const told = await eventsOf(events, id);
      expect(told.map(({ type }) => type)).toEqual(['created', 'started', 'exited', 'removed']);
      expect(told[1]).toMatchObject({ id, name });
      stop.abort();

      const after = told[1]?.cursor ?? '';
      const resumed = engine.events({ after, signal: AbortSignal.timeout(20_000) })[Symbol.asyncIterator]();
      expect((await resumed.next()).value).toMatchObject({ type: 'ready' });
      expect(await eventsOf(resumed, id)).toEqual(told.slice(2));
      await resumed.return?.();
      const lost = engine.events({ after: 'nonsense', signal: AbortSignal.timeout(20_000) });
      await refused(lost[Symbol.asyncIterator]().next(), 'invalid', 'compacted');
    });
  });
}

/** The events of one workload, up to its removal. */
async function eventsOf(
  events: AsyncIterator<EngineEvent>,
  id: string,
): Promise<Exclude<EngineEvent, { type: 'ready' }>[]> {
  const found: Exclude<EngineEvent, { type: 'ready' }>[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done === true || value === undefined) return found;
    if (value.type === 'ready' || value.id !== id) continue;
    found.push(value);
    if (value.type === 'removed') return found;
  }
}

function bound(bench: Bench): Pick<Bench, 'engine' | 'programs' | 'spec'> & { bench: Bench } {
  return { bench, engine: bench.engine, programs: bench.programs, spec: bench.spec.bind(bench) };
}
