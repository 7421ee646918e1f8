import { eru, pb, type CallContext } from '@eru/contract';
import { isEruError } from '@eru/kit';
import * as fc from 'fast-check';
import { Registry } from 'prom-client';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { checkStore, snapshot } from '../invariants.ts';
import { startBed, type Bed } from './core-rpc/contract-bed.suite.ts';
import { requestOf } from './requests.suite.ts';

const seed = Number(process.env['ERU_SEED'] ?? 1);
const requestsOfEach = Number(process.env['ERU_FUZZ_REQUESTS'] ?? 25);
const atOnce = 8;
const deadlineMs = 1500;
const stuckMs = 20_000;
/** Messages of one stream that are waited for. */
const most = 200;

type Method = CallContext['method'];

let bed: Bed;
let registry: Registry;
beforeEach(async () => {
  registry = new Registry();
  bed = await startBed({ registry, limits: { lockTimeoutMs: 1000, transferIdleMs: 500 } });
});
afterEach(() => bed.close());

const wordsOf = () => {
  const ids = [bed.id, bed.id, 'x', ''];
  const nodes = ['n1', 'n1', 'x', ''];
  const pods = ['pod', 'pod', 'empty', 'x'];
  return {
    id: ids,
    IDs: ids,
    ids,
    target: ids,
    targets: ids,
    workloadId: ids,
    existId: ids,
    nodename: nodes,
    nodenames: nodes,
    includes: nodes,
    podname: pods,
    name: ['app', 'pod', 'web', 'n1'],
    network: ['extra', 'bridge', 'host'],
    dst: ['/a', '/a/b'],
    paths: ['/etc/app/config', '/none'],
    path: ['/etc/app', '/none'],
    image: ['image:1'],
    images: ['image:1', 'b:1'],
    commands: ['serve', 'echo', 'speak', 'exit', 'cat'],
    command: ['serve', 'echo hi', 'exit 3', 'cat'],
    resources: ['cpumem', 'storage', 'gpu', 'unknown'],
    op: ['echo'],
  };
};

/** Ends in any way that is not a bug of the server; answers what is wrong. */
async function tryOut(method: Method, requests: object[]): Promise<string[]> {
  const client = method.parent.typeName === pb.CoreRPC.typeName ? bed.rpc : bed.eru;
  const send = client[method.localName as keyof typeof client] as (request: unknown, options: object) => unknown;
  const many = method.methodKind === 'bidi_streaming' || method.methodKind === 'client_streaming';
  const shown = `${method.name} ${JSON.stringify(requests, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value)).slice(0, 2000)}`;
  const wrong: string[] = [];
  const ended = (async () => {
    const answer = send(many ? each(requests) : requests[0], { timeoutMs: deadlineMs });
    const answers = answer instanceof Promise ? each([await answer]) : (answer as AsyncIterable<unknown>);
    let count = 0;
    for await (const one of answers) {
      const text = JSON.stringify(one, (_key, value: unknown) => (typeof value === 'bigint' ? 0 : value));
      if (/Cannot (read|convert)|is not (a function|iterable|defined)|Invalid array length|stack size/.test(text))
        wrong.push(`${shown}: ${text.slice(0, 500)}`);
      if (++count >= most) break;
    }
  })().catch((error: unknown) => {
    if (!isEruError(error) || error.code === 'internal') wrong.push(`${shown}: ${String(error)}`);
  });
  let timer: NodeJS.Timeout | undefined;
  const stuck = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      wrong.push(`${shown}: stuck`);
      resolve();
    }, stuckMs);
  });
  await Promise.race([ended, stuck]);
  clearTimeout(timer);
  return wrong;
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

/** Waits until nothing is left of what the requests began, and fails with what still is. */
async function nothingLeft(left: () => string[] | Promise<string[]>): Promise<void> {
  await vi.waitFor(async () => expect(await left()).toEqual([]), { timeout: stuckMs, interval: 20 });
}

async function running(): Promise<string[]> {
  const calls = await registry.getSingleMetric('eru_rpc_running')?.get();
  return (calls?.values ?? []).flatMap(({ labels, value }) => (value > 0 ? [String(labels['method'])] : []));
}

test(`requests of every shape end as answers or refusals (ERU_SEED=${seed}, ERU_FUZZ_REQUESTS)`, async () => {
  const words = wordsOf();
  const methods: Method[] = [...pb.CoreRPC.methods, ...eru.Eru.methods];
  const calls = methods.flatMap((method, index) => {
    const many = method.methodKind === 'bidi_streaming' || method.methodKind === 'client_streaming';
    // Streams without an end are cut by the deadline: a few of them do.
    const numRuns = /Watch|StatusStream|Attach/.test(method.name) ? 3 : requestsOfEach;
    return fc
      .sample(fc.array(requestOf(method.input, words), { minLength: 1, maxLength: many ? 3 : 1 }), {
        seed: seed + index,
        numRuns,
      })
      .map((requests) => ({ method, requests }));
  });
  const shuffled = fc.sample(fc.shuffledSubarray(calls, { minLength: calls.length }), { seed, numRuns: 1 })[0] ?? [];
  // What takes away the node and the workload that the others work on comes last.
  const takesAway = ({ method }: (typeof calls)[number]): boolean =>
    /^(Remove|Dissociate|Replace|SetNode$)/.test(method.name);
  const order = [...shuffled.filter((one) => !takesAway(one)), ...shuffled.filter(takesAway)];
  const wrong: string[] = [];
  const next = order[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      for (const { method, requests } of next) wrong.push(...(await tryOut(method, requests)));
    }),
  );
  expect(wrong).toEqual([]);
  await nothingLeft(running);
  await nothingLeft(() => [...bed.core.context.view.claims].map(([key]) => key));
  expect(await bed.rpc.info({})).toMatchObject({ version: 'test' });
  const { store, scheduler } = bed.core.context;
  expect(checkStore(await snapshot(store), scheduler, { atRest: false })).toEqual([]);
});
