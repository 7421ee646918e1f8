import net from 'node:net';
import { once } from 'node:events';

import { Forwarding, startAgent, type CoreCalls } from '@eru/agent';
import { create, eru, pb } from '@eru/contract';
import { bareSpec, SimulatedMachine, type WorkloadSpec } from '@eru/engines';
import { seededRandom, silentLogger, systemClock, systemRandom } from '@eru/kit';

import { watchingContainers } from './agent-containers.ts';
import type { Bench, Row } from './table.ts';

const workloads = 500;
const sweeps = 10;
const writers = 5;
const rounds = 40;
const linesPerRound = 500;

/** An agent on a simulated machine, in this process: what it costs by itself, and how fast lines leave it. Then with real containers. */
export const agentBench: Bench = {
  name: 'agent',
  async run({ quick }) {
    return [
      ...(await watching(quick ? 2 : sweeps)),
      ...(await forwarding(quick ? 4 : rounds)),
      ...(await watchingContainers(quick ? 50 : workloads, quick ? 10 : 60)),
    ];
  },
};

async function watching(seconds: number): Promise<Row[]> {
  const machine = new SimulatedMachine({ name: 'bench', clock: systemClock, random: seededRandom(1) });
  const engine = machine.engine();
  for (let index = 0; index < workloads; index++) {
    const { id } = await engine.create(specOf(`bench_w_${index}`));
    await engine.start(id);
  }
  let reports = 0;
  let allTold = (): void => {};
  const told = new Promise<void>((resolve) => (allTold = resolve));
  const core: CoreCalls = {
    core: {
      getNode: async () => create(pb.NodeSchema),
      addNode: async () => create(pb.NodeSchema),
      addPod: async () => create(pb.PodSchema),
      setNodeStatus: async () => create(pb.EmptySchema),
    },
    eru: {
      reportWorkloads: async ({ reports: list = [] }) => {
        reports += list.length;
        if (reports >= workloads) allTold();
        return create(eru.ReportWorkloadsResponseSchema);
      },
    },
  };
  const before = process.memoryUsage.rss();
  const begun = performance.now();
  const agent = startAgent({ node: 'bench', core, engine, onlyMine: false, healthcheck: { intervalS: 1 } });
  await told;
  const toldMs = performance.now() - begun;
  const cpu = process.cpuUsage();
  await systemClock.sleep(seconds * 1000);
  const { user, system } = process.cpuUsage(cpu);
  const grown = process.memoryUsage.rss() - before;
  await agent.close();
  const sweepMs = (user + system) / 1000 / seconds;
  return [
    { bench: 'agent', what: `first reports of ${workloads} workloads`, value: (workloads / toldMs) * 1000, unit: '/s' },
    {
      bench: 'agent',
      what: `a look at ${workloads} workloads, every 60 s by default`,
      value: sweepMs,
      unit: 'ms of processor',
    },
    { bench: 'agent', what: `memory for ${workloads} workloads`, value: grown / 2 ** 20, unit: 'MiB' },
  ];
}

async function forwarding(count: number): Promise<Row[]> {
  let received = 0;
  let wanted = 0;
  let arrived = (): void => {};
  const server = net.createServer((socket) => {
    socket.on('data', (data: Buffer) => {
      for (let at = data.indexOf(10); at >= 0; at = data.indexOf(10, at + 1)) received += 1;
      if (received >= wanted) arrived();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const machine = new SimulatedMachine({ name: 'lines', clock: systemClock, random: seededRandom(2) });
  const engine = machine.engine();
  const { port } = server.address() as net.AddressInfo;
  const shared = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const forwards = await Forwarding.open({ forwards: [`tcp://127.0.0.1:${port}`], engine, ...shared });
  const ids: string[] = [];
  for (let index = 0; index < writers; index++) {
    const { id } = await engine.create(specOf(`bench_w_${index}`));
    await engine.start(id);
    forwards.seen(await engine.inspect(id));
    ids.push(id);
  }
  const text = `${'x'.repeat(99)}\n`.repeat(linesPerRound);
  const begun = performance.now();
  const cpu = process.cpuUsage();
  for (let round = 0; round < count; round++) {
    wanted += writers * linesPerRound;
    const all = new Promise<void>((resolve) => (arrived = resolve));
    for (const id of ids) await machine.print(id, text);
    if (received < wanted) await all;
  }
  const seconds = (performance.now() - begun) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  await forwards.close();
  server.close();
  return [
    { bench: 'agent', what: 'lines of 100 bytes over TCP', value: received / seconds, unit: '/s' },
    {
      bench: 'agent',
      what: 'lines of 100 bytes over TCP',
      aspect: 'each',
      value: (user + system) / received,
      unit: 'µs',
    },
  ];
}

function specOf(name: string): WorkloadSpec {
  return bareSpec(name, ['wait'], { labels: { ERU: '1', 'eru.operation': name }, networks: { host: '' } });
}
