import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { createWorkloads, startCore } from '@eru/core';
import { EruError, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openEmbeddedStore, openEtcdStore, type Store } from '@eru/store';
import { EtcdProcess } from '@eru/store/etcd-process';

import { counting, nodeNames, noCounts, request, simulatedEngines, writeNodes } from './simulated-cluster.ts';
import type { Bench, Row } from './table.ts';

const nodes = 50;
const deploys = 640;

/** Deploys of one instance on simulated machines without latency: what core and its store cost. */
export const deployBench: Bench = {
  name: 'deploy',
  async run() {
    const rows: Row[] = [];
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    try {
      const embedded = await openEmbeddedStore({ folder: path.join(folder, 'store') });
      rows.push(...(await measure('embedded', embedded)));
      await embedded.close();
      if (spawnSync('etcd', ['--version']).status === 0) rows.push(...(await onEtcd()));
      else process.stderr.write('no etcd here: apt-get install -y etcd-server\n');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    return rows;
  },
};

async function onEtcd(): Promise<Row[]> {
  const etcd = await EtcdProcess.start();
  try {
    const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
    const rows = await measure('etcd', store);
    await store.close();
    return rows;
  } finally {
    await etcd.remove();
  }
}

async function measure(backend: string, inner: Store): Promise<Row[]> {
  const counts = noCounts();
  const store = counting(inner, counts);
  const scheduler = createScheduler({ kinds: builtinKinds() });
  const names = nodeNames(nodes);
  await writeNodes(inner, names);
  const core = await startCore({
    store,
    scheduler,
    engines: simulatedEngines(names),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    address: 'bench',
    version: 'bench',
  });
  const rows: Row[] = [];
  for (const clients of [1, 32]) {
    Object.assign(counts, noCounts());
    const begun = performance.now();
    await Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        for (let round = 0; round < deploys / clients / (clients === 1 ? 4 : 1); round++) {
          for await (const event of createWorkloads(
            core.context,
            core.membership.current(),
            request(`app${client}`, names),
            new AbortController().signal,
          )) {
            if (event.type === 'refused') throw new EruError('no_capacity', event.plan.message);
            if (event.type === 'done' && event.error !== undefined) throw event.error;
          }
        }
      }),
    );
    const done = clients === 1 ? deploys / 4 : deploys;
    const seconds = (performance.now() - begun) / 1000;
    rows.push({ bench: 'deploy', what: `${backend}, ${clients} clients`, value: done / seconds, unit: 'deploys/s' });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, transactions per deploy`,
      value: counts.txn / done,
      unit: '',
    });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, writes per deploy`,
      value: counts.operations / done,
      unit: '',
    });
    rows.push({
      bench: 'deploy',
      what: `${backend}, ${clients} clients, reads per deploy`,
      value: counts.reads / done,
      unit: '',
    });
  }
  await core.close();
  return rows;
}
