import { pb } from '@eru/contract';
import { seededRandom } from '@eru/kit';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { Registry } from 'prom-client';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startBed, type Bed } from './core-rpc/contract-bed.suite.ts';
import { collect } from './harness.suite.ts';

const seed = Number(process.env['ERU_SEED'] ?? 1);
const named = `(ERU_SEED=${seed})`;
const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
/** An empty SETTINGS frame. */
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

let bed: Bed;
let registry: Registry;
let random: ReturnType<typeof seededRandom>;
beforeEach(async () => {
  registry = new Registry();
  random = seededRandom(seed);
  bed = await startBed({ registry });
});
afterEach(() => bed.close());

const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, () => Math.floor(random.next() * 256)));
const serves = async (): Promise<void> => expect(await bed.rpc.info({})).toMatchObject({ version: 'test' });

async function connection(): Promise<net.Socket> {
  const [host = '', port] = bed.address.split(':');
  const socket = net.connect(Number(port), host);
  socket.on('error', () => {}); // the server may end it as it likes
  await once(socket, 'connect');
  return socket;
}

/** Until nothing is answered and nothing is claimed any more. */
async function idle(): Promise<void> {
  for (;;) {
    const calls = await registry.getSingleMetric('eru_rpc_running')?.get();
    const quiet = (calls?.values ?? []).every(({ value }) => value === 0);
    if (quiet && bed.core.context.view.claims.size === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Says it, half-closes, and waits for the server to end the connection. */
async function say(...parts: Buffer[]): Promise<void> {
  const socket = await connection();
  const closed = once(socket, 'close');
  socket.resume();
  for (const part of parts) socket.write(part);
  socket.end();
  // A server that speaks HTTP/2 may keep its half open for streams that have not ended.
  const leave = setTimeout(() => socket.destroy(), 200);
  await closed;
  clearTimeout(leave);
}

test(`bytes that mean nothing end their connection and nothing else ${named}`, async () => {
  for (let round = 0; round < 15; round++) {
    await Promise.all([
      say(bytes(1 + Math.floor(random.next() * 4000))),
      say(preface, bytes(200)),
      say(preface, settings, bytes(200)),
      say(
        Buffer.from('POST /pb.CoreRPC/Info HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'),
        bytes(300),
      ),
      say(Buffer.from(`GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`)),
    ]);
  }
  await serves();
  await idle();
});

/** The status of one gRPC call whose body is given byte for byte; undefined when the stream was reset. */
async function grpc(session: http2.ClientHttp2Session, method: string, body: Buffer): Promise<string | undefined> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/pb.CoreRPC/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
    'grpc-timeout': '500m',
  });
  let status: string | undefined;
  for (const event of ['response', 'trailers'])
    stream.on(event, (headers: http2.IncomingHttpHeaders) => {
      status = (headers['grpc-status'] as string | undefined) ?? status;
    });
  stream.on('error', () => {});
  stream.resume();
  stream.end(body);
  await once(stream, 'close');
  return status;
}

function frame(message: Buffer, announced = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(announced, 1);
  return Buffer.concat([head, message]);
}

test(`messages that are none end their call, on every method ${named}`, async () => {
  const session = http2.connect(`http://${bed.address}`);
  session.on('error', () => {});
  try {
    for (const { name } of pb.CoreRPC.methods) {
      const bodies = [
        frame(bytes(40)),
        frame(Buffer.alloc(0)),
        frame(bytes(10), 2 ** 31), // announces more than may come
        frame(bytes(10), 400), // breaks off
        bytes(3),
        Buffer.concat([frame(Buffer.alloc(0)), frame(bytes(20))]),
        Buffer.concat([Buffer.from([1]), frame(bytes(20)).subarray(1)]), // says that it is compressed
      ];
      const ended = await Promise.all(bodies.map((body) => grpc(session, name, body)));
      expect(ended).toHaveLength(bodies.length);
    }
    await serves();
    await idle();
  } finally {
    session.destroy();
  }
});

test('half-open and slow connections hold up nobody', async () => {
  const head = Buffer.from('POST /pb.CoreRPC/Info HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n');
  const beginnings = [Buffer.alloc(0), preface.subarray(0, 7), preface, Buffer.concat([preface, settings]), head];
  const open = await Promise.all(Array.from({ length: 200 }, () => connection()));
  open.forEach((socket, index) => socket.write(beginnings[index % beginnings.length] ?? ''));
  await Promise.all(Array.from({ length: 50 }, serves));
  // Byte by byte, and still answered.
  const slow = await connection();
  const answered = once(slow, 'data');
  const text = `POST /pb.CoreRPC/Info HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`;
  for (const letter of text) {
    slow.write(letter);
    await serves();
  }
  expect(String((await answered)[0])).toMatch(/^HTTP\/1.1 200/);
  slow.destroy();
  for (const socket of open) socket.destroy();
  await serves();
  await idle();
});

test('calls that are refused, broken off or left leave no memory behind', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  /** The first piece of a file of which no more comes. */
  const piece = async function* (): AsyncGenerator<object> {
    yield { ids: [bed.id], dst: '/large', size: 2n ** 30n, chunk: Buffer.alloc(1000) };
    await new Promise(() => {});
  };
  const round = async (): Promise<void> => {
    const calls = Array.from({ length: 40 }, async (_, index) => {
      const leave = new AbortController();
      const options = { signal: leave.signal };
      // One each: a connection whose calls are broken off by the thousand is ended as an attack.
      const leaving = [
        () => bed.rpc.watchServiceStatus({}, options),
        () => bed.rpc.workloadStatusStream({}, options),
        () => bed.rpc.logStream({ id: bed.id, follow: true }, options),
        () => bed.rpc.sendLargeFile(piece(), options),
      ];
      const waiting = leaving[index % leaving.length]?.()
        .next()
        .catch(() => {});
      await collect(bed.rpc.send({ IDs: ['x'], data: { '/a': Buffer.alloc(200_000) } }));
      leave.abort();
      await waiting;
    });
    await Promise.all(calls);
    await idle();
  };
  const used = async (): Promise<number> => {
    await round();
    // Buffers go some turns of the loop after the objects that held them.
    for (let turn = 0; turn < 5; turn++) {
      collectGarbage();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  for (let warm = 0; warm < 2; warm++) await round();
  const before = await used();
  for (let more = 0; more < 5; more++) await round();
  const grown = (await used()) - before;
  expect(grown).toBeLessThan(10 * 2 ** 20); // 240 calls of 200,000 bytes would be 46 MiB
});
