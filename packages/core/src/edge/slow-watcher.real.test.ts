import { client, connect, eru, pb } from '@eru/contract';
import { once } from 'node:events';
import http2 from 'node:http2';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startTestCore, type TestCore } from './harness.suite.ts';

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

test('who does not read a watch of services or objects holds neither other watchers nor writers', async () => {
  await Promise.all(
    ['/pb.CoreRPC/WatchServiceStatus', '/eru.v1.Eru/Watch'].flatMap((path) =>
      Array.from({ length: 10 }, () => watchWithoutReading(path)),
    ),
  );
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
