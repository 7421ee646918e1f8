import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { serve } from '@eru/contract';

import type { NetworkProbe } from './probe.ts';
import { runProbe } from './probe.ts';

const life = new AbortController();
let server: http.Server;
let port: number;

beforeEach(async () => {
  server = http.createServer((request, response) => {
    const { url = '/' } = request;
    if (url === '/silent') return;
    if (url === '/moved') response.writeHead(302, { location: '/status/204' });
    else if (url === '/round') response.writeHead(302, { location: '/round' });
    else response.writeHead(Number(url.split('/')[2]));
    response.end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function get(path: string, code: number, limitMs = 5000): ReturnType<typeof runProbe> {
  return runProbe({ type: 'http', host: '127.0.0.1', port, path, code }, limitMs, life.signal);
}

test('an HTTP check passes on the wanted status, follows redirects, and says what it got instead', async () => {
  expect(await get('/status/200', 200)).toEqual({ healthy: true, reason: '' });
  expect(await get('/status/404', 0)).toEqual({ healthy: true, reason: '' });
  expect(await get('/moved', 204)).toEqual({ healthy: true, reason: '' });
  const answered = `http://127.0.0.1:${port}/status/500 answered 500, not`;
  expect(await get('/status/500', 0)).toEqual({ healthy: false, reason: `${answered} 200 to 499` });
  expect(await get('/status/500', 200)).toEqual({ healthy: false, reason: `${answered} 200` });
  expect((await get('/round', 0)).reason).toContain('stopped after 10 redirects');
});

test('silence ends at the limit, an abort at once', async () => {
  expect((await get('/silent', 0, 50)).reason).toBe(`http://127.0.0.1:${port}/silent: no answer within 0.05 s`);
  const stop = new AbortController();
  const asked = once(server, 'request');
  const probe: NetworkProbe = { type: 'http', host: '127.0.0.1', port, path: '/silent', code: 0 };
  const running = runProbe(probe, 60_000, stop.signal);
  await asked;
  stop.abort();
  await expect(running).rejects.toThrow();
});

test('a TCP check passes when somebody listens', async () => {
  expect(await runProbe({ type: 'tcp', host: '127.0.0.1', port }, 5000, life.signal)).toEqual({
    healthy: true,
    reason: '',
  });
  const closed = net.createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port: nobody } = closed.address() as AddressInfo;
  await new Promise((resolve) => closed.close(resolve));
  const refused = await runProbe({ type: 'tcp', host: '127.0.0.1', port: nobody }, 5000, life.signal);
  expect(refused.healthy).toBe(false);
  expect(refused.reason).toContain(`tcp 127.0.0.1:${nobody}: connect ECONNREFUSED`);
});

test('a gRPC check passes when the service says that it serves', async () => {
  const serving = await serve({ listen: '127.0.0.1:0', services: [], hostNames: [] });
  const ask = (service: string): ReturnType<typeof runProbe> => {
    const [, host = '', digits] = /^(.*):(\d+)$/.exec(serving.address) ?? [];
    return runProbe({ type: 'grpc', host, port: Number(digits), service }, 5000, life.signal);
  };
  try {
    expect(await ask('')).toEqual({ healthy: true, reason: '' });
    expect((await ask('shop.Till')).reason).toBe(`grpc ${serving.address}: this server has no service "shop.Till"`);
  } finally {
    await serving.close({ graceMs: 0 });
  }
});
