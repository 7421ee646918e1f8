import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net, { type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { array, assert, asyncProperty, boolean, constant, integer, oneof, record, string } from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

import { jsonReply } from './answer.ts';
import { serveConnection } from './connection.ts';
import { Wire } from './wire.ts';

let folder: string;
let server: net.Server;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-barrel-'));
  server = net.createServer({ allowHalfOpen: true }).listen(path.join(folder, 's'));
  await once(server, 'listening');
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true });
});

/** Two ends of a connection; the second one comes later. */
function socketPair(): [Socket, Promise<Socket>] {
  const other = once(server, 'connection').then(([socket]) => socket as Socket);
  return [net.connect({ path: path.join(folder, 's'), allowHalfOpen: true }), other];
}

/** A client at one end and dockerd at the other, both in the test's hands. */
class Bench {
  readonly client: Wire;
  readonly socket: Socket;
  readonly served: Promise<void>;
  readonly intercepted: string[] = [];
  dials = 0;
  readonly #daemons: Promise<Socket>[] = [];
  #dialed: (() => void) | undefined;

  static async open(): Promise<Bench> {
    const [mine, theirs] = socketPair();
    return new Bench(mine, await theirs);
  }

  private constructor(mine: Socket, theirs: Socket) {
    this.socket = mine;
    this.client = new Wire(mine);
    this.served = serveConnection(theirs, {
      dial: () => {
        const [ours, daemon] = socketPair();
        this.dials += 1;
        this.#daemons.push(daemon);
        this.#dialed?.();
        return ours;
      },
      handlerOf: ({ method, target }) =>
        target.startsWith('/ours')
          ? async ({ body, forward }) => {
              this.intercepted.push(`${method} ${target} ${body.toString()}`);
              if (target === '/ours/forward') {
                const answer = await forward({ body: Buffer.from('changed') });
                return jsonReply(answer.head.status, { got: answer.body.toString() });
              }
              return jsonReply(200, { ours: true });
            }
          : undefined,
    });
  }

  /** The connection that dockerd got. */
  async daemon(): Promise<Wire> {
    while (this.#daemons.length === 0)
      await new Promise<void>((resolve) => {
        this.#dialed = resolve;
      });
    return new Wire(await (this.#daemons.shift() as Promise<Socket>));
  }

  say(text: string): void {
    this.socket.write(Buffer.from(text, 'latin1'));
  }
}

async function take(wire: Wire, bytes: number): Promise<string> {
  let text = '';
  while (text.length < bytes) {
    const piece = await wire.read();
    if (piece === undefined) return `${text}<end>`;
    text += piece.toString('latin1');
  }
  return text;
}

async function all(wire: Wire): Promise<string> {
  let text = '';
  for (let piece = await wire.read(); piece !== undefined; piece = await wire.read()) text += piece.toString('latin1');
  return text;
}

let bench: Bench;
afterEach(async () => {
  bench.client.destroy();
  await bench.served;
});

const ping = 'GET /_ping HTTP/1.1\r\nHost: docker\r\nX-Odd:  a  b \r\nx-odd: again\r\n\r\n';
const pong = 'HTTP/1.1 200 Fine\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK';

describe('what is not intercepted', () => {
  it('goes through as the bytes that came, in any pieces, one after another', async () => {
    const text = string({ unit: 'binary-ascii', maxLength: 60 });
    const body = oneof(
      constant(''),
      text.map((one) => `Content-Length: ${one.length}\r\n\r\n${one}`),
      array(
        text.filter((one) => one !== ''),
        { maxLength: 4 },
      ).map((parts) => {
        const chunks = parts.map((one) => `${one.length.toString(16)};x=y\r\n${one}\r\n`).join('');
        return `Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\nTrailer: t\r\n\r\n`;
      }),
    );
    const withBody = (line: string, rest: string): string => `${line}\r\nHost: x\r\n${rest === '' ? '\r\n' : rest}`;
    const exchange = record({
      request: body.map((rest) => withBody('POST /a?b=%zz HTTP/1.1', rest)),
      interim: boolean(),
      response: body.map((rest) =>
        rest === '' ? 'HTTP/1.1 204 No Content\r\n\r\n' : withBody('HTTP/1.1 200 OK', rest),
      ),
    });
    await assert(
      asyncProperty(
        array(exchange, { minLength: 1, maxLength: 4 }),
        array(integer({ min: 1, max: 50 }), { minLength: 1 }),
        async (exchanges, sizes) => {
          bench = await Bench.open();
          const requests = exchanges.map(({ request }) => request).join('');
          // All of them at once: a client may send the next before it has the answer.
          let at = 0;
          for (let index = 0; at < requests.length; index++) {
            const size = sizes[index % sizes.length] as number;
            bench.say(requests.slice(at, at + size));
            at += size;
          }
          const daemon = await bench.daemon();
          let answers = '';
          for (const { request, interim, response } of exchanges) {
            expect(await take(daemon, request.length)).toBe(request);
            const answer = `${interim ? 'HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n' : ''}${response}`;
            daemon.socket.write(Buffer.from(answer, 'latin1'));
            answers += answer;
          }
          expect(await take(bench.client, answers.length)).toBe(answers);
          expect(bench.dials).toBe(1);
          bench.client.destroy();
          await bench.served;
        },
      ),
      { numRuns: 60 },
    );
  });

  it('a client that ends its side after the request gets its answer; dockerd sees that end', async () => {
    bench = await Bench.open();
    bench.say(ping + ping);
    bench.socket.end();
    const daemon = await bench.daemon();
    expect(await take(daemon, ping.length)).toBe(ping);
    daemon.socket.write(pong);
    expect(await all(daemon)).toBe(ping);
    daemon.socket.write(pong);
    expect(await all(bench.client)).toBe(pong + pong);
  });

  it('a client that leaves within its body ends the request', async () => {
    bench = await Bench.open();
    bench.say('POST /build HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc');
    const daemon = await bench.daemon();
    await take(daemon, 58);
    bench.socket.destroy();
    await bench.served;
    expect(daemon.ended || (await daemon.read()) === undefined).toBe(true);
  });

  it('a client is asked to continue by dockerd, not by us', async () => {
    bench = await Bench.open();
    const head = 'PUT /containers/a/archive HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';
    bench.say(head);
    const daemon = await bench.daemon();
    expect(await take(daemon, head.length)).toBe(head);
    daemon.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    expect(await take(bench.client, 25)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    bench.say('body');
    expect(await take(daemon, 4)).toBe('body');
    daemon.socket.write(pong);
    expect(await take(bench.client, pong.length)).toBe(pong);
  });

  it('an answer before the end of the request arrives', async () => {
    bench = await Bench.open();
    bench.say('POST /build HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nabc');
    const daemon = await bench.daemon();
    await take(daemon, 50);
    const refusal = 'HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno';
    daemon.socket.write(refusal);
    daemon.socket.end();
    expect(await all(bench.client)).toBe(refusal);
  });

  it('half an answer breaks the connection, rather than to end it', async () => {
    bench = await Bench.open();
    bench.say(ping);
    const daemon = await bench.daemon();
    await take(daemon, ping.length);
    daemon.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
    await take(bench.client, 41);
    daemon.socket.destroy();
    await bench.served;
    expect(await all(bench.client)).toBe('');
  });

  it('a dockerd that is not there, or says nothing, is an answer', async () => {
    bench = await Bench.open();
    bench.say(ping);
    (await bench.daemon()).socket.destroy();
    expect(await all(bench.client)).toMatch(/^HTTP\/1\.1 502 Bad Gateway\r\n.*dockerd cannot be asked/s);
  });

  it('HEAD, 304 and HTTP/1.0 end where they end', async () => {
    bench = await Bench.open();
    bench.say(`HEAD /_ping HTTP/1.1\r\n\r\n${ping}`);
    const daemon = await bench.daemon();
    await take(daemon, 24);
    daemon.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n');
    await take(daemon, ping.length);
    daemon.socket.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n');
    await take(bench.client, 38 + 47);
    const old = 'GET /x HTTP/1.0\r\n\r\n';
    bench.say(old + ping);
    expect(await take(daemon, old.length)).toBe(old);
    daemon.socket.end('HTTP/1.0 200 OK\r\n\r\nto the end');
    expect(await all(bench.client)).toBe('HTTP/1.0 200 OK\r\n\r\nto the end');
  });
});

describe('connections that become streams', () => {
  it.each([
    ['101', 'HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n'],
    ['no length', 'HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n'],
  ])('%s: both sides end apart', async (_name, answer) => {
    bench = await Bench.open();
    const request = 'POST /exec/a/start HTTP/1.1\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}';
    bench.say(`${request}early input`);
    const daemon = await bench.daemon();
    expect(await take(daemon, request.length)).toBe(request);
    daemon.socket.write(answer);
    expect(await take(bench.client, answer.length)).toBe(answer);
    expect(await take(daemon, 11)).toBe('early input');
    bench.say('GET /ours HTTP/1.1\r\n\r\n');
    bench.socket.end();
    expect(await all(daemon)).toBe('GET /ours HTTP/1.1\r\n\r\n');
    daemon.socket.write('output after the end of input');
    daemon.socket.end();
    expect(await all(bench.client)).toBe('output after the end of input');
    expect(bench.intercepted).toEqual([]);
  });
});

describe('what is intercepted', () => {
  const post = (target: string, more = ''): string => `POST ${target} HTTP/1.1\r\n${more}Content-Length: 4\r\n\r\nbody`;

  it('also behind another request in the same bytes, and on a connection that asks to become a stream', async () => {
    bench = await Bench.open();
    bench.say(`${ping}${post('/ours', 'Connection: Upgrade\r\nUpgrade: h2c\r\n')}${ping}`);
    const daemon = await bench.daemon();
    await take(daemon, ping.length);
    daemon.socket.write(pong);
    expect(await take(daemon, ping.length)).toBe(ping);
    daemon.socket.write(pong);
    expect(await take(bench.client, 150)).toMatch(/OKHTTP\/1\.1 200 OK\r\n.*\{"ours":true\}\nHTTP\/1\.1 200 Fine/s);
    expect(bench.intercepted).toEqual(['POST /ours body']);
  });

  it('gets its body in one piece, also when it waits to be asked for it, and in chunks', async () => {
    bench = await Bench.open();
    bench.say('POST /ours HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n');
    expect(await take(bench.client, 25)).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    bench.say('2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n');
    await take(bench.client, 50);
    expect(bench.intercepted).toEqual(['POST /ours abcde']);
  });

  it('is sent on with another body', async () => {
    bench = await Bench.open();
    bench.say(post('/ours/forward', 'X-Registry-Auth: a\r\nConnection: close\r\n'));
    const daemon = await bench.daemon();
    expect(await take(daemon, 77)).toBe(
      'POST /ours/forward HTTP/1.1\r\nX-Registry-Auth: a\r\nContent-Length: 7\r\n\r\nchanged',
    );
    daemon.socket.write('HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nid\r\n0\r\n\r\n');
    expect(await all(bench.client)).toMatch(/^HTTP\/1\.1 201 Created\r\n.*Connection: close\r\n\r\n\{"got":"id"\}\n$/s);
  });
});

describe('what has two meanings is refused, and dockerd is not asked', () => {
  it.each([
    ['POST /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n', 'beside a Transfer-Encoding'],
    ['POST /a HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n', 'Content-Length 4, 5 is no number'],
    ['POST /a HTTP/1.1\r\nContent-Length: +4\r\n\r\n', 'is no number'],
    ['POST /a HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\n', 'is no number'],
    ['POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 'is not understood'],
    ['POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n', 'is not understood'],
    ['POST /a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n', 'has no name'],
    ['POST /a HTTP/1.1\r\nX: a\r\n Transfer-Encoding: chunked\r\n\r\n', 'has no name'],
    ['POST /a HTTP/1.1\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n', 'control character'],
    ['POST /a HTTP/1.1\r\nX: a\rb\r\n\r\n', 'control character'],
    ['POST /a HTTP/2.0\r\n\r\n', 'HTTP/1.1'],
    ['PRI * HTTP/2.0\r\n\r\n', 'HTTP/1.1'],
    ['POST  /a HTTP/1.1\r\n\r\n', 'HTTP/1.1'],
    ['POST /a b HTTP/1.1\r\n\r\n', 'HTTP/1.1'],
    ['\u0016\u0003\u0001\r\n\r\n', 'HTTP/1.1'],
  ])('%j', async (request, why) => {
    bench = await Bench.open();
    bench.say(`${request}0\r\n\r\n${ping}`);
    const answer = await all(bench.client);
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n.*Connection: close/s);
    expect(answer).toContain(why);
    expect(bench.dials).toBe(0);
  });

  it.each(['zz\r\n', '5\r\nabcdefg', '-1\r\n', '2\nab\r\n0\r\n\r\n'])('a body in chunks such as %j', async (body) => {
    bench = await Bench.open();
    bench.say(`POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${body}\r\n\r\n${ping}`);
    bench.socket.end();
    const daemon = await bench.daemon();
    await bench.served;
    expect(await all(daemon)).not.toContain('_ping');
  });
});
