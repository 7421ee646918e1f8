import net from 'node:net';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Forwarding } from '@eru/agent';
import { connectEngine } from '@eru/engines';
import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine, serveRuntime } from '@eru/runtime';
/** Workloads that print as fast as they can, through the process engine, its socket and the agent, to one receiver that stops for a while. */
export async function logStorm(storm) {
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
async function run(storm, engine, forwarding, receiver) {
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
    const all = storm.workloads * storm.linesEach;
    const figures = () => forwarding.figures()[0] ?? { lostBytes: 0 };
    // All of it has come, or nothing more comes for a while.
    for (let last = -1, quiet = 0; receiver.received() < all && quiet < 30;) {
      await systemClock.sleep(100, signal);
      quiet = receiver.received() === last ? quiet + 1 : 0;
      last = receiver.received();
    }
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
async function openReceiver({ pauseMs }) {
  let received = 0;
  let disorder = 0;
  let paused = false;
  const last = new Map();
  const sockets = new Set();
  const take = (line) => {
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
    socket.setEncoding('latin1').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
      if (paused || pauseMs === 0) return;
      paused = true;
      socket.pause();
      setTimeout(() => socket.resume(), pauseMs);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `tcp://127.0.0.1:${server.address().port}`,
    received: () => received,
    disorder: () => disorder,
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
/** Numbers its lines, and fills them up. */
function stormSpec(index, { linesEach, lineBytes }) {
  const program = `BEGIN { while (++n <= ${linesEach}) printf "%0${lineBytes - 1}d\\n", n }`;
  const name = `storm_w${index}_${systemRandom.letters(6)}`;
  return {
    name,
    labels: { ERU: '1', 'eru.operation': name },
    image: '',
    root: { type: 'host', writable: false },
    command: ['awk', program],
    env: [],
    dir: '',
    user: '',
    privileged: false,
    mounts: [],
    ulimits: {},
    pids: 0,
    restart: { type: 'no', retries: 0 },
    stopSignal: '',
    networks: {},
    publish: [],
    dns: [],
    extraHosts: [],
    sysctls: {},
    log: { type: '', config: {} },
    stdin: false,
    engineParams: {},
    rawArgs: new Uint8Array(),
  };
}
//# sourceMappingURL=log-storm.js.map
