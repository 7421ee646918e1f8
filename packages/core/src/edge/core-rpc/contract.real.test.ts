import { fromJson, pb, toJson } from '@eru/contract';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { startBed, type Bed, type Contract } from './contract-bed.suite.ts';
import { clusterContracts } from './contract-cluster.suite.ts';
import { workloadContracts } from './contract-workloads.suite.ts';
import { collect, failure } from '../harness.suite.ts';

const contracts = { ...clusterContracts, ...workloadContracts } as Readonly<
  Record<keyof typeof pb.CoreRPC.method, Contract>
>;
type Method = (typeof pb.CoreRPC.methods)[number];

let bed: Bed;
beforeEach(async () => {
  bed = await startBed();
});
afterEach(() => bed.close());

/** All answers in JSON's form, as they come. */
async function* call(method: Method, request: object): AsyncGenerator<object> {
  const messages = (Array.isArray(request) ? request : [request]).map((one) => fromJson(method.input, one));
  const send = bed.rpc[method.localName as keyof typeof bed.rpc] as (request: unknown) => unknown;
  const answer = send(method.methodKind === 'bidi_streaming' ? each(messages) : messages[0]);
  const answers = method.methodKind === 'unary' ? each([await answer]) : answer;
  for await (const one of answers as AsyncIterable<never>) yield toJson(method.output, one) as object;
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}

test('every method has its contract', () => {
  expect(Object.keys(contracts).toSorted()).toEqual(pb.CoreRPC.methods.map(({ localName }) => localName).toSorted());
  expect(pb.CoreRPC.methods).toHaveLength(45);
});

describe.each(pb.CoreRPC.methods.map((method) => [method.name, method] as const))('%s', (_name, method) => {
  const { prepare, good, answers, endless, bad, told = [] } = contracts[method.localName as keyof typeof contracts];

  test('a good request', async () => {
    await prepare?.(bed);
    const stream = call(method, good(bed));
    if (endless === undefined) {
      const all = await collect(stream);
      expect(all).toMatchObject(answers(bed));
      for (const one of all) expect(one).not.toHaveProperty('error');
      return;
    }
    const first = stream.next();
    await bed.rpc.info({}); // answered after the stream stands
    await endless(bed);
    expect([(await first).value]).toMatchObject(answers(bed));
    bed.stop();
    expect(await stream.next()).toMatchObject({ done: true });
  });

  if (bad.length > 0)
    test('bad requests', async () => {
      for (const one of bad) {
        const [request, code, text] = one(bed);
        expect(await failure(collect(call(method, request)))).toEqual([code, text]);
      }
    });

  if (told.length > 0)
    test('what is told in the stream', async () => {
      for (const one of told) {
        const [request, expected] = one(bed);
        expect(await collect(call(method, request))).toMatchObject(expected);
      }
    });
});
