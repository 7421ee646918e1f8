import path from 'node:path';

import { retry, seededRandom } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { EruApart, patience, type Part } from './apart.ts';
import { churn, workDone } from './churn.ts';
import { answers, identity, traces, type Listed, type Traces } from './eru.ts';
import { describeAsRoot } from './parts.ts';

const hello = path.join(import.meta.dirname, '../examples/hello/app.yaml');
const kills = Number(process.env['ERU_KILLS'] ?? 20);
const seed = Number(process.env['ERU_SEED'] ?? 1);

describeAsRoot(['runc'], 'core, runtime and agent apart', () => {
  let apart: EruApart;
  let before: Traces;
  let first: Listed[];

  beforeAll(async () => {
    before = await traces();
    apart = await EruApart.start();
  });
  afterAll(() => apart.close());

  it('three services become healthy', async () => {
    await apart.eru.ok(['deploy', hello, '--wait']);
    first = await apart.eru.ps();
    expect(first).toHaveLength(3);
  });

  it.each<Part>(['core', 'runtime', 'agent'])(
    'kill -9 of the %s alone: the services answer on, with the same ids and start times',
    async (part) => {
      await apart.kill(part);
      expect(await answers(first)).toEqual([200, 200, 200]);
      apart.spawn(part);
      await retry(async () => expect(identity(await apart.eru.ps())).toEqual(identity(first)), patience);
      expect(await answers(first)).toEqual([200, 200, 200]);
    },
  );

  it('all three are really back: a restart is done, and seen to be healthy', async () => {
    const [{ id }] = first as [Listed];
    // The last one that was started may not serve yet.
    await retry(() => apart.eru.ok(['restart', id]), patience);
    const restarted = async (): Promise<Listed | undefined> => (await apart.eru.ps()).find((one) => one.id === id);
    await retry(async () => expect(await restarted()).toMatchObject({ running: true, healthy: true }), patience);
    expect((await restarted())?.started_at).not.toBe(first[0]?.started_at);
  });

  it('down names the parts that hold the data folder, and touches nothing', async () => {
    for (const words of [['down'], ['down', '--all']]) {
      await retry(async () => {
        const { code, stderr } = await apart.eru.run(words);
        expect(code).toBe(1);
        expect(stderr).toMatch(/core \(process \d+\), runtime \(process \d+\), agent \(process \d+\)/);
      }, patience);
    }
    expect(await apart.eru.ps()).toHaveLength(3);
  });

  it(
    `${kills} times kill -9 of core under load: nothing is lost, nothing leaks (ERU_KILLS, ERU_SEED=${seed})`,
    { timeout: 60_000 + kills * 5_000 },
    async () => {
      const { answered, broken } = await churn(apart, { kills, random: seededRandom(seed) });
      console.log(`seed ${seed}: ${JSON.stringify({ kills, ...answered })}`);
      expect(broken).toEqual([]);
      expect(workDone(answered)).toBeGreaterThanOrEqual(kills / 2);
      expect(answered.created).toBeGreaterThan(0);
      expect(answered.removed).toBeGreaterThan(0);
      expect(answered.controlled).toBeGreaterThan(0);
    },
  );

  it('all removed: no process, cgroup, mount or namespace is left', async () => {
    await apart.eru.ok(['rm', '--force', ...(await apart.eru.ps()).map(({ id }) => id)]);
    await apart.close();
    expect(await traces()).toEqual(before);
  });
});
