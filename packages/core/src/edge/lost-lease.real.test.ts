import type { eru, MessageInitShape } from '@eru/contract';
import { isEruError, retry } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { collect, startTestCore, type TestCore } from './harness.suite.ts';

let core: TestCore;
beforeEach(async () => {
  core = await startTestCore({ ttlMs: 1500 });
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
});
afterEach(() => core.close());

const options = { name: 'app', podname: 'pod', count: 1, entrypoint: { name: 'web', commands: ['serve'] } };

/** The store ends it, and this core will hear of that only from its next write. */
async function loseLease(): Promise<void> {
  const { store } = core.core.context;
  const { kvs } = await store.range({ prefix: 'cores/' });
  await store.revokeLease(kvs[0]?.lease ?? '');
}

async function deployed(): Promise<string> {
  const events = await collect(core.eru.deploy({ options }));
  const ids = events.flatMap(({ event }) => (event.case === 'done' ? [event.value.id] : []));
  expect(ids).toHaveLength(1);
  return ids[0] ?? '';
}

/** As a client with an idempotency key does: `fenced` at first, then again until the outcome is known. */
async function fencedThenKnown<T>(call: () => AsyncIterable<T>): Promise<T[]> {
  await expect(collect(call())).rejects.toMatchObject({ code: 'fenced' });
  return retry(() => collect(call()), {
    baseMs: 20,
    retryable: (error) => isEruError(error, 'fenced') || isEruError(error, 'unavailable'),
  });
}

test('an outcome that is not known is no failure: the call ends with fenced, and its key tells what became of it', async () => {
  const id = await deployed();
  const replaced = await deployed();
  await loseLease();
  expect(await fencedThenKnown(() => core.eru.deploy({ options, idempotencyKey: 'deploy' }))).toContainEqual(
    expect.objectContaining({ event: expect.objectContaining({ case: 'done' }) }),
  );
  await loseLease();
  expect(await fencedThenKnown(() => core.eru.remove({ ids: [id], idempotencyKey: 'remove' }))).toEqual([
    expect.objectContaining({ id, success: true }),
  ]);
  await loseLease();
  const request = { options, ids: [replaced], idempotencyKey: 'replace' };
  expect(await fencedThenKnown(() => core.eru.replace(request))).toEqual([
    expect.objectContaining({ oldId: replaced, success: true }),
  ]);
});

test('a lambda whose core loses its lease meanwhile ends with a word on that, not silently', async () => {
  const open = { options: { ...options, name: 'job' } };
  async function* requests(): AsyncGenerator<MessageInitShape<typeof eru.RunRequestSchema>> {
    yield { request: { case: 'open', value: open } };
  }
  const told: string[] = [];
  let why = '';
  for await (const { response } of core.eru.run(requests())) {
    if (response.case !== 'output') told.push(response.case ?? '');
    if (response.case === 'created') await loseLease();
    if (response.case === 'exited') why = response.value.error;
  }
  expect(told).toEqual(['created', 'exited']);
  expect(why).toMatch(/lost its lease/);
});
