import { EruError, seededRandom, systemClock, VirtualClock } from '@eru/kit';
import { describe, expect, it } from 'vitest';

import { bareSpec } from './contract/bare-spec.ts';
import { all, refused } from './contract/bench.suite.ts';
import { createCompositeEngine } from './composite.ts';
import { engineContract, simulatedPrograms } from './contract/contract.suite.ts';
import type { Engine, EngineEvent } from './engine.ts';
import { SimulatedMachine } from './simulated/simulated.ts';

const random = seededRandom(1);

function simulated(name: string): Engine {
  return new SimulatedMachine({ name, clock: systemClock, random }).engine();
}

const streams = new Set<string | symbol>(['events', 'logs', 'copyFrom', 'imagePull', 'imagePush', 'imageBuild']);

/** An engine whose calls go through `before`, which may throw. */
function guarded(engine: Engine, before: (verb: string) => void): Engine {
  return new Proxy(engine, {
    get(target, verb) {
      const value: unknown = Reflect.get(target, verb);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (streams.has(verb))
        return async function* (...args: unknown[]) {
          before(String(verb));
          for await (const item of call(...args) as AsyncIterable<unknown>) {
            before(String(verb));
            yield item;
          }
        };
      return async (...args: unknown[]) => {
        before(String(verb));
        return call(...args);
      };
    },
  });
}

function imageless(engine: Engine): Engine {
  return guarded(engine, (verb) => {
    if (verb.startsWith('image')) throw new EruError('unsupported', 'processes have no images');
  });
}

interface Node {
  engine: Engine;
  process: Engine;
  docker: Engine;
  /** While true, docker answers nothing. */
  silent: { is: boolean };
}

function node(): Node {
  const [process, docker] = [simulated('p'), simulated('d')];
  const silent = { is: false };
  const guardedDocker = guarded(docker, () => {
    if (silent.is) throw new EruError('unavailable', 'the docker socket does not answer');
  });
  const parts = [
    { name: 'process', engine: imageless(process) },
    { name: 'docker', engine: guardedDocker },
  ] as const;
  const engine = createCompositeEngine({ parts: [parts[0], parts[1]], clock: systemClock, random });
  return { engine, process, docker, silent };
}

engineContract('two simulated engines behind one', async () => ({ engine: node().engine, close: async () => {} }), {
  programs: simulatedPrograms,
  unsupported: ['imageCommit'],
});

describe('one machine with two engines', () => {
  const spec = (name: string, more: object = {}) => bareSpec(name, ['serve'], more);

  it('makes each workload with the engine that it is for', async () => {
    const { engine, process, docker } = node();
    await all(engine.imagePull('web:1'));
    const made = [
      await engine.create(spec('a_plain')),
      await engine.create(spec('b_image', { image: 'web:1' })),
      await engine.create(spec('c_named', { engine: 'docker' })),
    ];
    expect((await process.list()).map(({ name }) => name)).toEqual(['a_plain']);
    expect((await docker.list()).map(({ name }) => name)).toEqual(['b_image', 'c_named']);
    expect(await engine.list()).toEqual(made);
    await refused(engine.create(spec('d_other', { engine: 'yavirt' })), 'unsupported');
    for (const { id } of made) await engine.start(id);
    expect((await engine.list()).map(({ state }) => state)).toEqual(['running', 'running', 'running']);
  });

  it('has the identity and the capacity of the machine once', async () => {
    const { engine, process, silent } = node();
    const { id, cpus, memoryBytes } = await process.info();
    expect(await engine.info()).toMatchObject({ type: 'process+docker', id, cpus, memoryBytes, missing: [] });
    silent.is = true;
    expect((await engine.info()).missing.join()).toContain('docker does not answer: the docker socket');
    await engine.ping();
  });

  it('never takes silence for absence', async () => {
    const { engine, process, docker, silent } = node();
    const { id } = await process.create(spec('a'));
    const { id: contained } = await docker.create(spec('b'));
    silent.is = true;
    expect(await engine.inspect(id)).toMatchObject({ name: 'a' });
    await refused(engine.inspect(contained), 'unavailable');
    await refused(engine.remove(contained), 'unavailable');
    await refused(engine.inspect('f'.repeat(64)), 'unavailable');
    await refused(engine.list(), 'unavailable');
    silent.is = false;
    await refused(engine.inspect('f'.repeat(64)), 'not_found');
    await engine.remove('f'.repeat(64));
    await engine.remove(contained);
    expect(await docker.list()).toEqual([]);
  });

  it('tells events of both without a gap while one is away', async () => {
    const { engine, silent } = node();
    const stop = new AbortController();
    const events = engine.events({ signal: stop.signal })[Symbol.asyncIterator]();
    const next = async (): Promise<EngineEvent> => (await events.next()).value as EngineEvent;
    expect(await next()).toMatchObject({ type: 'ready' });
    await engine.create(spec('a'));
    const first = await next();
    expect(first).toMatchObject({ type: 'created', name: 'a' });
    const { id } = await engine.create(spec('b', { engine: 'docker' }));
    const second = await next();
    expect(second).toMatchObject({ type: 'created', name: 'b' });
    silent.is = true;
    // Its stream notices with the next event, which is not lost.
    const { id: quiet } = await engine.create(spec('c'));
    expect(await next()).toMatchObject({ type: 'created', id: quiet });
    silent.is = false;
    await engine.remove(id);
    expect(await next()).toMatchObject({ type: 'removed', id });
    stop.abort();
    const again = engine.events({ after: first.cursor, signal: AbortSignal.timeout(10_000) })[Symbol.asyncIterator]();
    expect((await again.next()).value).toMatchObject({ type: 'ready' });
    const seen: string[] = [];
    while (seen.length < 3) {
      const { value } = await again.next();
      if (value?.type !== 'ready') seen.push(`${value?.type} ${value?.name}`);
    }
    expect(seen.toSorted()).toEqual(['created b', 'created c', 'removed b']);
    await again.return?.();
  });

  it('tells events of the machine though the other engine never stood, and says when it stands', async () => {
    const { engine, docker, silent } = node();
    silent.is = true;
    const events = engine.events({ signal: AbortSignal.timeout(10_000) })[Symbol.asyncIterator]();
    expect((await events.next()).value).toMatchObject({ type: 'ready' });
    await engine.create(spec('a'));
    expect((await events.next()).value).toMatchObject({ type: 'created', name: 'a' });
    silent.is = false;
    expect((await events.next()).value).toMatchObject({ type: 'ready' });
    await docker.create(spec('b'));
    expect((await events.next()).value).toMatchObject({ type: 'created', name: 'b' });
    await events.return?.();
  });

  it('begins when both stand, and without the one that hangs after a while', async () => {
    const clock = new VirtualClock();
    const [process, docker] = [simulated('p'), simulated('d')];
    let answer = (): void => {};
    const answered = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const hanging = new Proxy(docker, {
      get: (target, verb) => {
        if (verb !== 'events') return (Reflect.get(target, verb) as () => unknown).bind(target);
        return async function* (...args: Parameters<Engine['events']>) {
          await answered;
          yield* target.events(...args);
        };
      },
    });
    const parts = [
      { name: 'process', engine: process },
      { name: 'docker', engine: hanging },
    ] as const;
    const engine = createCompositeEngine({ parts: [parts[0], parts[1]], clock, random });
    const machine = process.events({ signal: AbortSignal.timeout(10_000) })[Symbol.asyncIterator]();
    const { cursor } = (await machine.next()).value as EngineEvent;
    await machine.return?.();
    const after = new URLSearchParams({ process: cursor }).toString();
    await process.create(spec('a'));
    const events = engine.events({ after, signal: AbortSignal.timeout(10_000) })[Symbol.asyncIterator]();
    const first = events.next();
    let told = false;
    void first.then(() => (told = true));
    await clock.advance(4_000);
    expect(told).toBe(false);
    await clock.advance(2_000);
    // What was held back is told after it, so nothing of it is lost to who goes on from here.
    expect((await first).value).toEqual({ type: 'ready', cursor: after });
    expect((await events.next()).value).toMatchObject({ type: 'created', name: 'a' });
    answer();
    expect((await events.next()).value).toMatchObject({ type: 'ready' });
    await events.return?.();
  });
});
