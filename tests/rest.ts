import type { Core } from '@eru/client';
import { checkAcknowledged, checkObjects, checkStore } from '@eru/core';
import type { Engine, WorkloadState } from '@eru/engines';
import { EruError, retry } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import type { KeyValue } from '@eru/store';

import type { Load } from './load.ts';

/** Until nothing is in flight and every orphan has had its two rounds. Answers what keeps it from coming to rest. */
export async function settle(core: Core, engines: readonly Engine[]): Promise<string[]> {
  try {
    await retry(
      async () => {
        const kvs = await read(core);
        const flying = [...kvs.keys()].filter((key) => /^(operations|claims)\//.test(key));
        if (flying.length > 0) throw new EruError('busy', `in flight: ${flying.join(', ')}`);
        const strangers = (await list(engines)).filter(({ id }) => !kvs.has(`workloads/${id}`));
        if (strangers.length > 0)
          throw new EruError('busy', `without a record: ${strangers.map(({ name }) => name).join(', ')}`);
      },
      { attempts: 240, baseMs: 500, maxMs: 500 },
    );
    return [];
  } catch (error) {
    return [EruError.from(error).message];
  }
}

/** The invariants of docs/protocol.md on the store's content and the engines', and everything that clients were told. */
export async function whatIsBroken(core: Core, engines: readonly Engine[], load: Load): Promise<string[]> {
  const kvs = await read(core);
  const shot = { revision: 0, kvs };
  const objects = await list(engines);
  const { id } = JSON.parse(textOf(kvs.get('cluster'))) as { id: string };
  const running = new Map(objects.map((object) => [object.id, object.state === 'running']));
  const records = [...kvs.values()]
    .filter(({ key }) => key.startsWith('workloads/'))
    .map((kv) => JSON.parse(textOf(kv)) as Record);
  const memory = new Map(records.map((record) => [record.id, record.resources.cpumem?.memory_request]));
  return [
    ...load.wrong,
    ...checkStore(shot, createScheduler({ kinds: builtinKinds() }), { atRest: true }),
    ...checkObjects(shot, objects, id),
    ...checkAcknowledged(shot, load.existing.keys()),
    ...records
      .filter((record) => load.made(record.name) && !load.existing.has(record.id))
      .map((record) => `${record.name} is there, and nobody was told`),
    ...[...load.removed].filter((gone) => memory.has(gone)).map((gone) => `${gone} is back`),
    ...[...load.running]
      .filter(([workload, runs]) => running.get(workload) !== runs)
      .map(([workload, runs]) => `${workload} was ${runs ? 'started' : 'stopped'} and is not so`),
    ...[...load.existing]
      .filter(([workload, bytes]) => memory.get(workload) !== bytes)
      .map(([workload, bytes]) => `${workload} has ${memory.get(workload)} bytes of memory and should have ${bytes}`),
  ];
}

interface Record {
  id: string;
  name: string;
  resources: { cpumem?: { memory_request?: number } };
}

/** What stays in the store when everybody is gone: every key without a lease, with its value. */
export async function contents(core: Core): Promise<{ [key: string]: unknown }> {
  const kvs = await read(core);
  return Object.fromEntries(
    [...kvs.values()]
      .filter(({ lease }) => lease === undefined)
      .map((kv) => [kv.key, JSON.parse(textOf(kv)) as unknown]),
  );
}

async function read(core: Core): Promise<Map<string, KeyValue>> {
  const kvs = new Map<string, KeyValue>();
  for await (const { key, value, leased, ...revisions } of core.eru.dumpStore({}, { timeoutMs: 60_000 }))
    kvs.set(key, {
      key,
      value: new TextEncoder().encode(value),
      createRevision: Number(revisions.createRevision),
      modRevision: Number(revisions.modRevision),
      version: Number(revisions.version),
      lease: leased ? 'some' : undefined,
    });
  return kvs;
}

async function list(engines: readonly Engine[]): Promise<WorkloadState[]> {
  return (await Promise.all(engines.map((engine) => engine.list()))).flat();
}

function textOf(kv: KeyValue | undefined): string {
  return new TextDecoder().decode(kv?.value);
}
