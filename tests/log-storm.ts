import net from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { Forwarding, type ForwardingSettings } from '@eru/agent';
import type { Engine, WorkloadSpec } from '@eru/engines';
import { bareSpec, connectEngine } from '@eru/engines';
import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine, serveRuntime } from '@eru/runtime';

export interface Storm {
  workloads: number;
  /** Printed by each, as fast as it goes. */
  linesEach: number;
  /** After so many lines each rests for a quarter of a second; absent: never. */
  restEvery?: number;
  /** Of one line, with its newline. */
  lineBytes: number;
  /** From the first line on the receiver reads nothing for so long; absent: until all is printed. */
  pauseMs?: number;
  settings?: Partial<ForwardingSettings>;
  /** Files of each workload's log. */
  log?: { maxBytes: number; files: number };
  /** Of the whole. */
  limitMs: number;
}

export interface StormResult {
  /** Until each had printed all. */
  printedMs: number;
  /** Until the last line of each had arrived. */
  arrivedMs: number;
  received: number;
  /** Lines that came twice or before an earlier one. */
  disorder: number;
  /** Of each workload: what is missing at its receiver. */
  missing: number;
  /** What the engine's log had dropped before it was read. */
  lostBytes: number;
  peakQueuedBytes: number;
  /** Growth of this process's memory, which is daemon, agent and receiver. */
  peakMemoryBytes: number;
}

/** Workloads that print as fast as they can, through the process engine, its socket and the agent, to one receiver that stops for a while. */
export async function logStorm(storm: Storm): Promise<StormResult> {
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-storm-'));
  const socket = path.join(folder, 'runtime.sock');
  const log = storm.log === undefined ? {} : { log: storm.log };
  const host = await createProcessEngine({
    folder: path.join(folder, 'runtime'),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    unenforced: 'allow',
    ...log,
  });
  const serving = await serveRuntime({ socket, engine: host, logger: silentLogger });
  const engine = connectEngine({ address: `unix://${socket}` });
  const receiver = await openReceiver(storm);
  const forwarding = await Forwarding.open({
    forwards: [receiver.url],
    ...storm.settings,
    engine,
    folder: path.join(folder, 'agent'),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
  });
  try {
    return await run(storm, engine, forwarding, receiver);
  } finally {
    await forwarding.close();
    receiver.close();
    for (const { id } of await engine.list()) await engine.remove(id, { force: true });
    await engine.close();
    await serving.close();
    await host.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function run(
  storm: Storm,
  engine: Engine,
  forwarding: Forwarding,
  receiver: Awaited<ReturnType<typeof openReceiver>>,
): Promise<StormResult> {
  const before = process.memoryUsage.rss();
  const peak = { queued: 0, memory: 0 };
  const looking = setInterval(() => {
    peak.queued = Math.max(peak.queued, ...forwarding.figures().map(({ queuedBytes }) => queuedBytes));
    peak.memory = Math.max(peak.memory, process.memoryUsage.rss() - before);
  }, 50);
  try {
    const begun = performance.now();
    const ids = await Promise.all(
      Array.from({ length: storm.workloads }, async (_, index) => {
        const { id } = await engine.create(stormSpec(index, storm));
        await engine.start(id);
        forwarding.seen(await engine.inspect(id));
        return id;
      }),
    );
    const signal = AbortSignal.timeout(storm.limitMs);
    await Promise.all(ids.map((id) => engine.wait(id, { signal })));
    const printedMs = performance.now() - begun;
    if (storm.pauseMs === undefined) receiver.resume();
    const all = storm.workloads * storm.linesEach;
    const figures = (): { lostBytes: number } => forwarding.figures()[0] ?? { lostBytes: 0 };
    // The last line of each is always kept, and everything else is ahead of it.
    while (receiver.complete() < storm.workloads) await systemClock.sleep(100, signal);
    return {
      printedMs,
      arrivedMs: performance.now() - begun,
      received: receiver.received(),
      disorder: receiver.disorder(),
      missing: all - receiver.received(),
      lostBytes: figures().lostBytes,
      peakQueuedBytes: peak.queued,
      peakMemoryBytes: peak.memory,
    };
  } finally {
    clearInterval(looking);
  }
}

async function openReceiver({ pauseMs, linesEach }: Storm): Promise<{
  url: string;
  received(): number;
  /** Workloads whose last line has come. */
  complete(): number;
  disorder(): number;
  /** Reads on. */
  resume(): void;
  close(): void;
}> {
  let received = 0;
  let disorder = 0;
  let paused = false;
  const last = new Map<string, number>();
  const sockets = new Set<net.Socket>();
  const take = (line: string): void => {
    received += 1;
    const [, id = ''] = /^\{"id":"(\w+)"/.exec(line) ?? [];
    const number = Number(/"data":"(\d+)/.exec(line)?.[1]);
    if (number <= (last.get(id) ?? 0)) disorder += 1;
    last.set(id, number);
  };
  const server = net.createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
      if (paused || pauseMs === 0) return;
      paused = true;
      socket.pause();
      if (pauseMs !== undefined) setTimeout(() => socket.resume(), pauseMs);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `tcp://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    received: () => received,
    complete: () => [...last.values()].filter((number) => number === linesEach).length,
    disorder: () => disorder,
    resume: () => {
      paused = true; // whoever has not paused yet need not any more
      for (const socket of sockets) socket.resume();
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** Numbers its lines, and fills them up. */
function stormSpec(index: number, { linesEach, lineBytes, restEvery = 0 }: Storm): WorkloadSpec {
  const rest = restEvery === 0 ? '' : `if (n % ${restEvery} == 0) { fflush(); system("sleep 0.25") }`;
  const program = `BEGIN { while (++n <= ${linesEach}) { printf "%0${lineBytes - 1}d\\n", n; ${rest} } }`;
  const name = `storm_w${index}_${systemRandom.letters(6)}`;
  return bareSpec(name, ['awk', program], { labels: { ERU: '1', 'eru.operation': name } });
}
