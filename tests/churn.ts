import { setTimeout as sleep } from 'node:timers/promises';

import type { Core } from '@eru/client';
import { checkAcknowledged, checkObjects, checkStore, snapshot } from '@eru/core';
import { EruError, retry, type Random } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import type { Store } from '@eru/store';

import type { EruApart } from './apart.ts';

/** Requests at the same time. */
const clients = 3;
/** More workloads than this are not wanted: the machine that runs the tests is small. */
const crowd = 12;
/** A core lives up to so many times as long as its start took, so that slow machines see work done too. */
const lives = 3;
/** One in so many dies while it starts. */
const startKills = 6;

export interface ChurnResult {
  kills: number;
  created: number;
  removed: number;
  controlled: number;
  /** Requests that a dying core left without an answer, or that it refused. */
  failed: number;
}

/** What clients were told, and may count on. */
class Promises {
  readonly result: ChurnResult = { kills: 0, created: 0, removed: 0, controlled: 0, failed: 0 };
  /** Created, and no request to remove it was ever sent. */
  readonly existing = new Set<string>();
  readonly removed = new Set<string>();
  /** Whether it runs, after a start or stop that nobody has questioned since. */
  readonly running = new Map<string, boolean>();
  /** One request at a time on each workload, so that what was told last is what must hold. */
  readonly busy = new Set<string>();
}

/**
 * Clients create, stop, start and remove without pause while core is killed again and again at random moments, also in the
 * middle of its start. Answers what they were told, and everything that does not hold when it is quiet again.
 */
export async function churn(
  apart: EruApart,
  { kills, random, openStore }: { kills: number; random: Random; openStore: () => Promise<Store> },
): Promise<{ result: ChurnResult; broken: string[] }> {
  const told = new Promises();
  let core = await apart.connect();
  let startMs = 300;
  const over = new AbortController();
  const load = Array.from({ length: clients }, async () => {
    while (!over.signal.aborted) {
      await oneRequest(core, random, told).catch(async () => {
        told.result.failed += 1;
        await sleep(20);
      });
    }
  });
  while (told.result.kills < kills) {
    await sleep(random.next() * lives * startMs);
    await apart.kill('core');
    told.result.kills += 1;
    core.close();
    if (random.int(startKills) === 0 && told.result.kills < kills) {
      apart.spawn('core');
      await sleep(random.next() * startMs);
      await apart.kill('core');
      told.result.kills += 1;
    }
    const begun = performance.now();
    core = await apart.core();
    startMs = performance.now() - begun;
  }
  over.abort();
  await Promise.all(load);
  const broken = [...(await settle(apart, core)), ...(await whatIsBroken(apart, told, openStore))];
  return { result: told.result, broken };
}

async function oneRequest(core: Core, random: Random, told: Promises): Promise<void> {
  const free = [...told.existing].filter((id) => !told.busy.has(id));
  const id = free[random.int(Math.max(1, free.length))];
  const dice = random.next();
  if (id === undefined || (dice < 0.5 && told.existing.size < crowd)) return create(core, random, told);
  told.busy.add(id);
  try {
    if (dice < 0.75) await remove(core, id, told);
    else await control(core, id, random.int(2) === 0 ? 'stop' : 'start', told);
  } finally {
    told.busy.delete(id);
  }
}

async function create(core: Core, random: Random, told: Promises): Promise<void> {
  // `sleep` as the first process of its namespace does not hear TERM: a part of the removals takes the whole grace time.
  const request = deployment(1 + random.int(3), random.int(4) === 0 ? 'SIGTERM' : 'SIGKILL');
  for await (const { event } of core.eru.deploy(request)) {
    if (event.case === 'refused') throw new EruError('no_capacity', event.value.message);
    if (event.case !== 'done') continue;
    if (!event.value.success) throw new EruError('failed', event.value.error);
    told.existing.add(event.value.id);
    told.running.set(event.value.id, true);
    told.result.created += 1;
  }
}

async function remove(core: Core, id: string, told: Promises): Promise<void> {
  // From here on nobody may count on it.
  told.existing.delete(id);
  told.running.delete(id);
  for await (const { success, error } of core.eru.remove({ ids: [id], force: true })) {
    if (!success) throw new EruError('failed', error);
    told.removed.add(id);
    told.result.removed += 1;
  }
}

async function control(core: Core, id: string, type: 'stop' | 'start', told: Promises): Promise<void> {
  told.running.delete(id);
  for await (const { error } of core.core.controlWorkload({ IDs: [id], type, force: true })) {
    if (error !== '') throw new EruError('failed', error);
    told.running.set(id, type === 'start');
    told.result.controlled += 1;
  }
}

function deployment(count: number, stopSignal: string) {
  const memory = 16 * 2 ** 20;
  const limits = { 'cpu-request': 0.05, 'cpu-limit': 0.05, 'memory-request': memory, 'memory-limit': memory };
  return {
    options: {
      name: 'churn',
      entrypoint: { name: 'sleeper', commands: ['sleep', '1000000'] },
      podname: 'default',
      count,
      networks: { host: '' },
      resources: { cpumem: Buffer.from(JSON.stringify(limits)) },
    },
    process: { root: 'host', stopSignal },
  };
}

/** Until nothing is in flight and every orphan has had its two rounds. */
async function settle(apart: EruApart, core: Core): Promise<string[]> {
  const engine = apart.engine();
  try {
    await retry(
      async () => {
        const keys: string[] = [];
        for (const prefix of ['operations/', 'claims/'])
          for await (const { key } of core.eru.dumpStore({ prefix })) keys.push(key);
        if (keys.length > 0) throw new EruError('busy', `in flight: ${keys.join(', ')}`);
        const recorded = new Set<string>();
        for await (const { record } of core.eru.listWorkloads({})) if (record !== undefined) recorded.add(record.id);
        const strangers = (await engine.list()).filter(({ id }) => !recorded.has(id));
        if (strangers.length > 0)
          throw new EruError('busy', `without a record: ${strangers.map(({ name }) => name).join(', ')}`);
      },
      { attempts: 240, baseMs: 500, maxMs: 500 },
    );
    return [];
  } catch (error) {
    return [EruError.from(error).message];
  } finally {
    await engine.close();
    core.close();
  }
}

/** The invariants of operations.md on the store's own content and the engine's, and everything that clients were told. */
async function whatIsBroken(apart: EruApart, told: Promises, openStore: () => Promise<Store>): Promise<string[]> {
  await apart.kill('core', 'SIGTERM');
  const engine = apart.engine();
  const store = await openStore();
  try {
    const shot = await snapshot(store);
    const objects = await engine.list();
    const { id } = JSON.parse(new TextDecoder().decode(shot.kvs.get('cluster')?.value)) as { id: string };
    const running = new Map(objects.map((object) => [object.id, object.state === 'running']));
    return [
      ...checkStore(shot, createScheduler({ kinds: builtinKinds() }), { atRest: true }),
      ...checkObjects(shot, objects, id),
      ...checkAcknowledged(shot, told.existing),
      ...[...told.removed].filter((gone) => shot.kvs.has(`workloads/${gone}`)).map((gone) => `${gone} is back`),
      ...[...told.running]
        .filter(([workload, runs]) => running.get(workload) !== runs)
        .map(([workload, runs]) => `${workload} was ${runs ? 'started' : 'stopped'} and is not so`),
    ];
  } finally {
    await store.close();
    await engine.close();
  }
}
