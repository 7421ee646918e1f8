import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { setImmediate } from 'node:timers/promises';

import { openBarrel } from '@eru/barrel';
import { silentLogger } from '@eru/kit';
import { openNetd } from '@eru/network';

import { quantile, type Row } from './table.ts';

const piece = Buffer.alloc(65_536);

/** What the Docker proxy adds to a call and how much goes through it, before a server that answers at once. */
export async function proxyRows(folder: string, quick: boolean): Promise<Row[]> {
  const dockerd = path.join(folder, 'dockerd.sock');
  const proxy = path.join(folder, 'barrel.sock');
  const netd = await openNetd({ folder: path.join(folder, 'proxy-netd'), node: 'bench' });
  const server = http.createServer((request, response) => void answer(request, response)).listen(dockerd);
  await once(server, 'listening');
  const barrel = await openBarrel({
    netd,
    dockerd: `unix://${dockerd}`,
    hosts: [`unix://${proxy}`],
    rules: { runtime: 'eru' },
    logger: silentLogger,
  });
  try {
    const calls = quick ? 200 : 2000;
    const mib = quick ? 64 : 1024;
    const rows: Row[] = [];
    for (const [what, target] of [
      ['a call passed on', '/_ping'],
      ['inspect of a container of others', `/containers/${'0'.repeat(64)}/json`],
    ] as const) {
      const [direct, through] = [await timed(dockerd, target, calls), await timed(proxy, target, calls)];
      for (const q of [0.5, 0.99])
        rows.push({
          bench: 'network',
          what: `proxy, ${what}: added`,
          aspect: q === 0.5 ? 'median' : 'p99',
          value: quantile(through, q) - quantile(direct, q),
          unit: 'ms',
        });
    }
    for (const [what, socket] of [
      ['direct', dockerd],
      ['through the proxy', proxy],
    ] as const)
      rows.push({
        bench: 'network',
        what: `${mib} MiB ${what}`,
        aspect: 'rate',
        value: await rate(socket, mib),
        unit: 'MiB/s',
      });
    return rows;
  } finally {
    await barrel.close();
    server.closeAllConnections();
    server.close();
    await netd.close();
  }
}

async function answer({ url = '' }: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
  const mib = Number(/^\/stream\/(\d+)$/.exec(url)?.[1] ?? 0);
  for (let sent = 0; sent < mib * 16; sent++) if (!response.write(piece)) await once(response, 'drain');
  response.end(mib > 0 ? undefined : JSON.stringify({ Id: '0'.repeat(64), NetworkSettings: { Networks: {} } }));
}

/** Milliseconds of each of so many calls, one after another on one connection. */
async function timed(socketPath: string, target: string, calls: number): Promise<number[]> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const samples: number[] = [];
  for (let index = 0; index < calls; index++) {
    const begun = performance.now();
    await read(http.get({ socketPath, path: target, agent }));
    samples.push(performance.now() - begun);
    // The connection is free again only after this turn.
    await setImmediate();
  }
  agent.destroy();
  return samples;
}

async function rate(socketPath: string, mib: number): Promise<number> {
  const begun = performance.now();
  const bytes = await read(http.get({ socketPath, path: `/stream/${mib}`, agent: false }));
  if (bytes !== mib * 2 ** 20) throw new Error(`${bytes} bytes have come of ${mib} MiB`);
  return mib / ((performance.now() - begun) / 1000);
}

async function read(request: http.ClientRequest): Promise<number> {
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) bytes += chunk.length;
  return bytes;
}
