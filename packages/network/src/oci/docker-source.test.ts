import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { silentLogger, VirtualClock } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import type { Netd } from '../netd/netd.ts';
import { openNetd } from '../netd/open-netd.ts';
import { DockerClient } from './docker-client.ts';
import { dockerSource, followDocker, importedOwner } from './docker-source.ts';

let folder: string;
let netd: Netd;
let clock: VirtualClock;
let server: Server;
let streams: ServerResponse[];
/** What dockerd says it has; undefined: it fails. */
let containers: { Id: string; State: string }[] | undefined;
const [one, two] = ['1'.repeat(64), '2'.repeat(64)];

beforeEach(async () => {
  clock = new VirtualClock();
  folder = await mkdtemp(path.join(tmpdir(), 'eru-docker-'));
  netd = await openNetd({
    folder,
    namespaceFolder: path.join(folder, 'netns'),
    node: 'here',
    roundMs: 3_600_000,
    clock,
  });
  await netd.putPool({ name: 'p', cidr: '10.9.0.0/24', quarantineMs: 0 });
  await netd.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
  streams = [];
  containers = [];
  server = createServer((request, response) => {
    if (request.url?.startsWith('/events') === true) {
      response.flushHeaders();
      streams.push(response);
    } else response.writeHead(containers === undefined ? 500 : 200).end(JSON.stringify(containers ?? {}));
  });
  await new Promise<void>((resolve) => server.listen(path.join(folder, 'docker.sock'), resolve));
});
afterEach(async () => {
  for (const stream of streams) stream.destroy();
  server.close();
  await netd.close();
  await rm(folder, { recursive: true, force: true });
});
const options = (): Parameters<typeof dockerSource>[0] => ({
  netd,
  docker: new DockerClient(path.join(folder, 'docker.sock')),
  clock,
  logger: silentLogger,
});
const declare = (container: string): Promise<unknown> =>
  netd.declare({ container, networks: [{ network: 'net' }], policy: 'fixed' });
const held = async (): Promise<string[]> => (await netd.reservations()).map(({ owner }) => owner).toSorted();

it('gives back at once what dockerd says is removed, also after the stream has broken', async () => {
  await declare(one);
  await declare(two);
  const stop = new AbortController();
  const following = followDocker(options(), stop.signal);
  const removed = (id: string): string => `${JSON.stringify({ Action: 'destroy', id })}\n`;
  await expect.poll(() => streams.length).toBe(1);
  streams[0]?.write(removed(one).slice(0, 9));
  streams[0]?.write(removed(one).slice(9));
  await expect.poll(held).toEqual([two]);
  streams[0]?.destroy();
  await expect.poll(async () => (await clock.advance(1000), streams.length)).toBe(2);
  streams[1]?.write(removed(two));
  await expect.poll(held).toEqual([]);
  // What Docker itself had given to a container goes with it too.
  await netd.reserve({ owner: importedOwner('3'), kind: 'container', network: { network: 'net' } });
  streams[1]?.write(removed('3'));
  await expect.poll(held).toEqual([]);
  stop.abort();
  await following;
});

it('releases what two rounds miss, and nothing while dockerd does not answer in full', async () => {
  netd.addSource(dockerSource(options()));
  await declare(one);
  await declare(two);
  await netd.reserve({ owner: importedOwner('3'), kind: 'container', network: { network: 'net' } });
  await netd.reserve({ owner: 'by-hand', kind: 'container', network: { network: 'net' } });
  containers = [
    { Id: one, State: 'exited' },
    { Id: '3', State: 'running' },
  ];
  expect(await netd.reconcile()).toEqual([]);
  containers = undefined;
  expect(await netd.reconcile()).toEqual([]);
  containers = [{ Id: one, State: 'created' }];
  expect(await netd.reconcile()).toEqual([]);
  expect((await netd.reconcile()).map(({ key }) => key)).toEqual([`removed/${two}`, `gone/${importedOwner('3')}/eth0`]);
  expect(await held()).toEqual([one, 'by-hand'].toSorted());
});
