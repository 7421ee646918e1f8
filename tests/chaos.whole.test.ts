import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { seededRandom } from '@eru/kit';
import { expect, it } from 'vitest';

import { traces } from './eru.ts';
import { makeTrouble } from './faults.ts';
import { Load } from './load.ts';
import { describeAsRoot } from './parts.ts';
import { contents, settle, whatIsBroken } from './rest.ts';
import { Scattered } from './scattered.ts';

const seconds = Number(process.env['ERU_CHAOS_SECONDS'] ?? 60);
const seed = Number(process.env['ERU_SEED'] ?? 1);
const clients = 4;

describeAsRoot(['etcd', 'runc', 'ip', 'iptables'], 'two cores, etcd and two joined nodes, each a namespace', () => {
  it(
    `${seconds} s of faults under load: nothing is lost, nothing leaks (ERU_CHAOS_SECONDS, ERU_SEED=${seed})`,
    { timeout: 600_000 + seconds * 2_000 },
    async () => {
      const before = await traces(Scattered.folders);
      const cluster = await Scattered.start();
      const told: string[] = [];
      let passed = false;
      const namespaces = await cluster.network.namespaces();
      try {
        const client = cluster.connect();
        const engines = cluster.nodes.map((node) => cluster.engine(node));
        const load = new Load(() => client, seededRandom(seed));
        for (const nodename of cluster.nodes)
          expect((await client.core.getNode({ nodename })).endpoint).toMatch(/^eru\+tls:/);
        // One of each kind first: what even the first one leaves in the store belongs there.
        await load.warmUp();
        const empty = await contents(client);
        const over = new AbortController();
        const working = Array.from({ length: clients }, () => load.run(over.signal));
        const trouble = makeTrouble(cluster, seededRandom(seed + 1), over.signal, (text) => {
          told.push(`${new Date().toISOString()} ${text}`);
        });
        await sleep(seconds * 1000);
        over.abort();
        const faults = await trouble;
        await Promise.all(working);
        told.push(...[...load.complaints].map(([text, times]) => `${times} × ${text}`));
        console.log(`seed ${seed}: ${JSON.stringify({ ...faults, ...load.answered })}`);
        expect(cluster.fallen).toEqual([]);
        await cluster.ready();
        expect(await settle(client, engines)).toEqual([]);
        expect(await whatIsBroken(client, engines, load)).toEqual([]);
        for (const [index, node] of cluster.nodes.entries()) {
          const { stdout } = await cluster.eru(['node', 'check', node, '-o', 'json'], cluster.cores[index]);
          expect(JSON.parse(stdout)).toEqual({ node, ok: true, diffs: [] });
        }
        const { code, stderr } = await cluster.eru(['rm', '--force', ...load.existing.keys()]);
        expect({ code, stderr }).toMatchObject({ code: 0 });
        expect(await contents(client)).toEqual(empty);
        client.close();
        await Promise.all(engines.map((engine) => engine.close()));
        passed = true;
      } finally {
        if (!passed) console.log([...told, `logs: ${cluster.folder}`].join('\n'));
        await cluster.close({ keep: !passed });
      }
      expect(await traces(Scattered.folders)).toEqual(before);
      const left = await networkNamespaces();
      expect(namespaces.filter((name) => left.has(name))).toEqual([]);
    },
  );
});

/** Those that some process of this machine is in. */
async function networkNamespaces(): Promise<Set<string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  return new Set(await Promise.all(pids.map((pid) => readlink(`/proc/${pid}/ns/net`).catch(() => ''))));
}
