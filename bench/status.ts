import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { client, connect, create, eru, serve } from '@eru/contract';
import { coreServices, createWorkloads, startCore } from '@eru/core';
import { EruError, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openEmbeddedStore, type Store } from '@eru/store';

import { nodeNames, request, simulatedEngines, writeNodes } from './simulated-cluster.ts';
import type { Bench, Row } from './table.ts';

const workloads = 500;
/** An agent sends the changes of one moment in one call. */
const sizes = [1, 50] as const;
const agents = 4;

/** Changed statuses that a core takes over its own port into the embedded store, as agents send them. */
export const statusBench: Bench = {
  name: 'status',
  async run({ quick }) {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    const store = await openEmbeddedStore({ folder: path.join(folder, 'store') });
    try {
      return await measure(store, quick ? 1 : 8);
    } finally {
      await store.close();
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function measure(store: Store, rounds: number): Promise<Row[]> {
  const [node = ''] = nodeNames(1);
  await writeNodes(store, [node]);
  const engines = simulatedEngines([node]);
  const shared = { clock: systemClock, random: systemRandom, logger: silentLogger, version: 'bench' };
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const core = await startCore({ store, scheduler, engines, ...shared, address: 'bench', limits: {} });
  const closing = new AbortController();
  const services = coreServices(core.context, core.membership, {
    identifier: core.cluster,
    version: 'bench',
    engines,
    closing: closing.signal,
    callsPerSecond: 0,
  });
  const serving = await serve({ listen: '127.0.0.1:0', ...services });
  const channel = connect(serving.address);
  try {
    const ids: string[] = [];
    for (let at = 0; at < workloads; at++)
      for await (const event of createWorkloads(
        core.context,
        core.membership.current(),
        request('app', [node]),
        closing.signal,
      )) {
        if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
        if (event.type === 'done' && event.error === undefined) ids.push(event.id);
      }
    const calls = client(eru.Eru, channel);
    const rows: Row[] = [];
    let restarts = 0;
    for (const size of sizes) {
      const batches = Array.from({ length: Math.ceil(ids.length / size) }, (_, at) =>
        ids.slice(at * size, (at + 1) * size),
      );
      const begun = performance.now();
      for (let round = 0; round < rounds; round++) {
        restarts += 1;
        const waiting = [...batches];
        const send = async (): Promise<void> => {
          for (let batch = waiting.pop(); batch !== undefined; batch = waiting.pop())
            await calls.reportWorkloads({ node, reports: batch.map((id) => reportOf(id, restarts)) });
        };
        await Promise.all(Array.from({ length: agents }, send));
      }
      const seconds = (performance.now() - begun) / 1000;
      rows.push({
        bench: 'status',
        what: `changed statuses, ${size} in a call, ${agents} calls at once`,
        value: (rounds * ids.length) / seconds,
        unit: '/s',
      });
    }
    return rows;
  } finally {
    closing.abort();
    channel.close();
    await serving.close();
    await core.close();
  }
}

/** Never the same twice. */
function reportOf(id: string, restarts: number) {
  const status = {
    state: 'running',
    running: true,
    healthy: restarts % 2 === 0,
    restarts,
    networks: { host: '10.0.0.1' },
  };
  return create(eru.WorkloadReportSchema, { id, status });
}
