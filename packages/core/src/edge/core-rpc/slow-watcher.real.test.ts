import { client, connect, eru, pb } from '@eru/contract';
import { once } from 'node:events';
import http2 from 'node:http2';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startTestCore, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let session: http2.ClientHttp2Session;
beforeEach(async () => {
  core = await startTestCore({ callsPerSecond: 0 });
  session = http2.connect(`http://${core.address}`, { settings: { initialWindowSize: 0 } });
  await once(session, 'connect');
});
afterEach(async () => {
  session.destroy();
  await core.close();
});

/** A gRPC call whose client takes not one byte of the answers: its window stays closed. */
async function watchWithoutReading(path: string): Promise<http2.ClientHttp2Stream> {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {}); // ended with its session
  stream.end(Buffer.from([0, 0, 0, 0, 0])); // an empty message
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  expect(headers[':status']).toBe(200);
  return stream;
}

/** Ten that do not read on each of these methods. */
function slowOnes(...methods: string[]): Promise<unknown> {
  return Promise.all(methods.flatMap((path) => Array.from({ length: 10 }, () => watchWithoutReading(path))));
}

test('who does not read a stream of statuses holds neither other watchers nor writers', async () => {
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', podname: 'pod', endpoint: 'sim://n1?cpus=4&memory=1G' });
  // They answer with the first event.
  let round = 0;
  const answered = new AbortController();
  const slow = slowOnes('/pb.CoreRPC/NodeStatusStream').finally(() => answered.abort());
  while (!answered.signal.aborted) await change('n1', round++);
  await slow;
  const channel = connect(core.address);
  try {
    const told: string[] = [];
    const seen = (async () => {
      for await (const { nodename, alive } of client(pb.CoreRPC, channel).nodeStatusStream({})) {
        told.push(`${nodename} ${alive}`);
        if (told.length === 100) return;
      }
    })();
    for (const enough = round + 10_000; told.length < 100 && round < enough; round++) await change('n1', round);
    await seen;
    expect(new Set(told)).toEqual(new Set(['n1 true', 'n1 false']));
  } finally {
    channel.close();
  }
});

/** A heartbeat, or its end. */
async function change(nodename: string, round: number): Promise<void> {
  await core.rpc.setNodeStatus({ nodename, ttl: round % 2 === 0 ? -1n : 60n });
}

test('who does not read a watch of services or objects holds neither other watchers nor writers', async () => {
  await slowOnes('/pb.CoreRPC/WatchServiceStatus', '/eru.v1.Eru/Watch');
  const channel = connect(core.address);
  try {
    const services = client(pb.CoreRPC, channel).watchServiceStatus({});
    expect((await services.next()).value).toMatchObject({ addresses: ['10.0.0.1:5001'] });
    const objects = client(eru.Eru, channel).watch({ kinds: [] });
    const told = new Set<string>();
    const seen = (async () => {
      for await (const { changes } of objects) {
        for (const { name } of changes) told.add(name);
        if (told.size === 500) return;
      }
    })();
    for (let index = 0; index < 500; index++) await core.rpc.addPod({ name: `p${index}` });
    await core.core.membership.announce('10.0.0.2:5001');
    await seen;
    expect((await services.next()).value).toMatchObject({ addresses: ['10.0.0.2:5001'] });
    expect(told.size).toBe(500);
  } finally {
    channel.close();
  }
});
