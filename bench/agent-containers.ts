import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connectCore, findCore, type Core } from '@eru/client';
import { childEnvironment, EruError, retry, runOk, systemClock } from '@eru/kit';

import { startDockerd, type PrivateDockerd } from './private-dockerd.ts';
import type { Row } from './table.ts';

const eruCommand = path.join(import.meta.dirname, '../../packages/eru/bin/eru.js');
const node = 'bench';
const parts = ['runtime', 'core', 'agent'] as const;
type Part = (typeof parts)[number];

const patience = { attempts: 600, baseMs: 100, maxMs: 500 };

interface Bed {
  dockerd: PrivateDockerd;
  data: string;
  pids: Record<Part, number>;
  core: Core;
  eru: (...args: string[]) => Promise<string>;
}

/** Real containers of a dockerd, started by one call, under core, node daemon and agent as processes of their own. */
export async function watchingContainers(count: number, seconds: number): Promise<Row[]> {
  const dockerd = await startDockerd();
  if (dockerd === undefined) return [];
  const data = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
  const children: ChildProcess[] = [];
  const eru = async (...args: string[]): Promise<string> =>
    (await runOk(process.execPath, [eruCommand, ...args, '--data', data], { timeoutMs: 300_000 })).stdout;
  const start = (part: Part, ...more: string[]): number => {
    const log = openSync(path.join(data, `${part}.log`), 'a');
    const child = spawn(process.execPath, [eruCommand, part, ...more, '--data', data], {
      stdio: ['ignore', log, log],
      env: childEnvironment(),
    });
    closeSync(log);
    children.push(child);
    return child.pid ?? 0;
  };
  try {
    const pids: Record<Part, number> = {
      runtime: start('runtime', '--docker', dockerd.endpoint),
      core: start('core', '--listen', `127.0.0.1:${await freePort()}`, '--store', 'embedded'),
      agent: 0,
    };
    await retry(() => eru('pod', 'add', 'default'), patience);
    const endpoint = `eru+unix://${path.join(data, 'runtime.sock')}`;
    await retry(() => eru('node', 'add', 'default', '--nodename', node, '--endpoint', endpoint), patience);
    pids.agent = start('agent', '--node', node);
    await retry(async () => {
      const [known] = JSON.parse(await eru('node', 'ls', '-o', 'json')) as { available: boolean }[];
      if (known?.available !== true) throw new EruError('unavailable', 'the agent has not been heard of yet');
    }, patience);
    const core = connectCore(await findCore({ data }));
    try {
      await core.ready();
      return await measure({ dockerd, data, pids, core, eru }, count, seconds);
    } finally {
      core.close();
    }
  } finally {
    for (const child of children.toReversed()) await ended(child);
    await dockerd.close();
    await rm(data, { recursive: true, force: true });
  }
}

async function measure({ dockerd, pids, core, eru }: Bed, count: number, seconds: number): Promise<Row[]> {
  const idle = await residentMiB(pids.agent);
  const begun = performance.now();
  await deploy(core, dockerd.image, count);
  const deployedMs = performance.now() - begun;
  await retry(async () => {
    const healthy = (JSON.parse(await eru('ps', '-o', 'json')) as { healthy: boolean }[]).filter((one) => one.healthy);
    if (healthy.length < count) throw new EruError('unavailable', `${healthy.length} of ${count} are told healthy`);
  }, patience);
  const toldMs = performance.now() - begun;
  const spent = await Promise.all(parts.map((part) => processorSeconds(pids[part])));
  const from = performance.now();
  await systemClock.sleep(seconds * 1000);
  const minutes = (performance.now() - from) / 60_000;
  const then = await Promise.all(parts.map((part) => processorSeconds(pids[part])));
  const listing = performance.now();
  const listed = JSON.parse(await eru('ps', '-o', 'json')) as { running: boolean }[];
  const listedMs = performance.now() - listing;
  const running = (await dockerd.docker('ps', '-q', '--filter', 'label=ERU')).split('\n').length;
  const all = (await dockerd.docker('ps', '-aq', '--filter', 'label=ERU')).split('\n').length;
  await eru('node', 'check', node);
  const what = `${count} containers`;
  const row = (aspect: string, value: number, unit: string): Row => ({ bench: 'agent', what, aspect, value, unit });
  return [
    row('started by one call,', count / (deployedMs / 1000), '/s'),
    row('all told healthy after', toldMs / 1000, 's'),
    row(
      'lost or twice',
      Math.abs(count - listed.filter((one) => one.running).length) + count - running + all - running,
      '',
    ),
    row('`eru ps`', listedMs, 'ms'),
    row('agent grows by', (await residentMiB(pids.agent)) - idle, 'MiB'),
    ...(
      await Promise.all(
        parts.map(async (part, index) => [
          { ...row('memory', await residentMiB(pids[part]), 'MiB'), what: `${what}: ${part}` },
          {
            ...row('processor', ((then[index] ?? 0) - (spent[index] ?? 0)) / minutes, 's a minute'),
            what: `${what}: ${part}`,
          },
        ]),
      )
    ).flat(),
  ];
}

async function deploy(core: Core, image: string, count: number): Promise<void> {
  const entrypoint = { name: 'web', commands: ['/bin/sleep', '3600'] };
  const options = { name: 'bench', podname: 'default', image, networks: { none: '' }, entrypoint, ignorePull: true };
  for await (const { event } of core.eru.deploy({ options: { ...options, count } })) {
    if (event.case === 'refused') throw new EruError('no_capacity', event.value.message);
    if (event.case === 'done' && !event.value.success) throw new EruError('failed', event.value.error);
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  await exit;
}

async function residentMiB(pid: number): Promise<number> {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

/** In all its threads; the kernel counts in hundredths. */
async function processorSeconds(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}
