import path from 'node:path';

import { retry, seededRandom } from '@eru/kit';
import { openEtcdStore } from '@eru/store';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { EtcdProcess } from '../packages/store/src/etcd-process.ts';
import { EruApart, patience } from './apart.ts';
import { churn, workDone } from './churn.ts';
import { answers, EruUnderTest, identity, traces, type Listed, type Traces } from './eru.ts';
import { describeAsRoot, describeWith } from './parts.ts';

const hello = path.join(import.meta.dirname, '../examples/hello/app.yaml');
const kills = Number(process.env['ERU_KILLS'] ?? 40) / 4;
const seed = Number(process.env['ERU_SEED'] ?? 1);

describeWith(['etcd'], 'one node on etcd', () => {
  let etcd: EtcdProcess;
  let eru: EruUnderTest;
  let before: Traces;
  let first: Listed[];

  beforeAll(async () => {
    etcd = await EtcdProcess.start();
    before = await traces();
    eru = await EruUnderTest.create();
  });
  afterAll(async () => {
    await eru.close();
    await etcd.remove();
  });

  it('comes up with three healthy services that answer', async () => {
    const { code, stderr } = await eru.up('--store', `etcd://${etcd.endpoint}`, '--example', hello);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    first = await eru.ps();
    expect(await answers(first)).toEqual([200, 200, 200]);
  });

  it('kill -9 of all of Eru: the services answer on, and the next Eru finds its store and knows them again', async () => {
    process.kill(await eru.pid(), 'SIGKILL');
    expect(await answers(first)).toEqual([200, 200, 200]);
    expect((await eru.up('--example', hello)).code).toBe(0);
    await retry(async () => expect(identity(await eru.ps())).toEqual(identity(first)), patience);
  });

  it('what does not fit is refused, and nothing is booked', async () => {
    const { code, stderr } = await eru.run(['deploy', hello, '--count', '2', '--memory', '900T']);
    expect(code).toBe(3);
    expect(stderr).toMatch(/memory/);
    expect((await eru.ok(['store', 'dump', 'operations/'])).stdout).toBe('');
    expect(identity(await eru.ps())).toEqual(identity(first));
  });

  it('down --all with no Eru running says when etcd is away, and removes everything when it is back', async () => {
    process.kill(await eru.pid(), 'SIGKILL');
    await etcd.kill();
    const { code, stderr } = await eru.run(['down', '--all']);
    expect({ code, stderr }).toMatchObject({ code: 5 });
    expect(stderr).toBe(
      `eru: nothing was removed: etcd at ${etcd.endpoint}: connect ECONNREFUSED ${etcd.endpoint}; is etcd running, and is this its address?\n`,
    );
    expect(await answers(first)).toEqual([200, 200, 200]);
    await etcd.start();
    await eru.ok(['down', '--all']);
    expect(await traces()).toEqual(before);
    const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
    const { kvs } = await store.range({ prefix: '' });
    await store.close();
    expect(
      kvs.map(({ key }) => key.split('/')[0]).filter((top) => /^(workloads|claims|operations)$/.test(top ?? '')),
    ).toEqual([]);
  });
});

describeAsRoot(['etcd', 'runc'], 'core, runtime and agent apart on etcd', () => {
  it(
    `${kills} times kill -9 of core under load: nothing is lost, nothing leaks (ERU_KILLS, ERU_SEED=${seed})`,
    { timeout: 120_000 + kills * 5_000 },
    async () => {
      const etcd = await EtcdProcess.start();
      const before = await traces();
      // What a dead core was about is free again when its lease has ended.
      const apart = await EruApart.start({
        store: `etcd://${etcd.endpoint}`,
        environment: { ERU_CORE_GRPC_SERVICE_HEARTBEAT_INTERVAL: '3s' },
      });
      try {
        const { answered, broken, ...killed } = await churn(apart, { kills, random: seededRandom(seed) });
        console.log(`seed ${seed}: ${JSON.stringify({ ...killed, ...answered })}`);
        expect(broken).toEqual([]);
        expect(workDone(answered)).toBeGreaterThanOrEqual(kills / 2);
        expect(answered.created).toBeGreaterThan(0);
        expect(answered.removed).toBeGreaterThan(0);
        // What ran apart has left a note of its store and node.
        await apart.stop();
        await apart.eru.ok(['down', '--all'], { timeoutMs: 120_000 });
      } finally {
        await apart.close();
        await etcd.remove();
      }
      expect(await traces()).toEqual(before);
    },
  );
});
