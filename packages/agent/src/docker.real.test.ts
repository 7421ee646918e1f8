import { create, eru, pb } from '@eru/contract';
import { createEngines, type Engine, type Engines } from '@eru/engines';
import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from '../../../tests/busybox-image.ts';
import { Dockerd } from '../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../tests/parts.ts';
import { startAgent, type Agent } from './agent.ts';
import type { CoreCalls } from './core-calls.ts';
import { Forwarding } from './logs/forwarding.ts';
import { logSpec, Receiver } from './logs/receiver.suite.ts';
import { usageFromMachine } from './metrics/read-usage.ts';
import type { Report } from './report.ts';

describeAsRoot(['docker', 'busybox'], 'an agent beside a dockerd', () => {
  let dockerd: Dockerd;
  let engines: Engines;
  let engine: Engine;
  let receiver: Receiver;
  let agent: Agent;
  const told = new Map<string, Report>();

  beforeAll(async () => {
    dockerd = await Dockerd.start();
    engines = createEngines({ clock: systemClock, random: systemRandom });
    engine = engines.get(`unix://${dockerd.socket}`);
    receiver = await Receiver.start();
    const shared = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const forwarding = await Forwarding.open({ forwards: [receiver.url], engine, ...shared });
    const core: CoreCalls = {
      core: {
        getNode: async () => create(pb.NodeSchema, { podname: 'default' }),
        addNode: async () => create(pb.NodeSchema),
        addPod: async () => create(pb.PodSchema),
        setNodeStatus: async () => create(pb.EmptySchema),
      },
      eru: {
        reportWorkloads: async ({ reports = [] }) => {
          for (const report of reports as Report[]) told.set(report.id, report);
          return create(eru.ReportWorkloadsResponseSchema);
        },
      },
    };
    agent = startAgent({ node: 'n1', core, engine, forwarding, healthcheck: { intervalS: 1 } });
  });

  afterAll(async () => {
    await agent.close();
    await receiver.stop();
    await engines.close();
    await dockerd.remove();
  });

  async function started(name: string, command: string, labels: Record<string, string> = {}): Promise<string> {
    const spec = logSpec(name, ['sh', '-c', command]);
    const { id } = await engine.create({
      ...spec,
      image: busyboxImage,
      networks: {},
      labels: { ...spec.labels, ...labels },
    });
    await engine.start(id);
    return id;
  }

  it('forwards every line of a short life, and reports its end', async () => {
    const id = await started('shop_job_AbCdEf', 'echo one; echo two >&2; exit 3');
    await receiver.until(2);
    const mine = receiver.lines.filter((line) => line.id === id);
    expect(mine.map(({ data }) => data).toSorted()).toEqual(['one', 'two']);
    await expect
      .poll(() => told.get(id)?.status)
      .toMatchObject({
        running: false,
        exitCode: 3,
        reason: 'ended with 3',
      });
  });

  it('finds an unhealthy one within its interval, with the reason, and goes on over a dockerd that is killed', async () => {
    const wishes = { cmds: ['test ! -e /tmp/sick'], interval: 1 };
    const label = { 'eru.healthcheck': JSON.stringify(wishes) };
    const id = await started('shop_web_AbCdEf', 'while :; do sleep 1; done', label);
    const status = (): Report['status'] => told.get(id)?.status;
    await expect.poll(() => status()?.healthy).toBe(true);
    const usage = await usageFromMachine('/proc')(await engine.inspect(id), 0, new AbortController().signal);
    expect(usage?.cpu?.seconds).toBeGreaterThan(0);
    expect(usage?.memory?.workingSet).toBeGreaterThan(0);
    expect(Object.keys(usage?.nics ?? {})).toEqual(['eth0']);
    const words = ['touch', '/tmp/sick'];
    const touch = { command: words, env: [], dir: '', user: '', stdin: false, tty: false };
    expect(await (await engine.exec(id, touch)).exit).toBe(0);
    const reason = 'command "test ! -e /tmp/sick" ended with 1';
    await expect.poll(status).toMatchObject({ running: true, healthy: false, reason });
    await dockerd.stop('SIGKILL');
    await dockerd.start();
    await engine.start(id).catch(() => {});
    const before = receiver.lines.length;
    const later = await started('shop_api_AbCdEf', 'echo back; sleep 100');
    await expect.poll(() => receiver.lines.length).toBe(before + 1);
    await expect.poll(() => told.get(later)?.status?.healthy).toBe(true);
  });
});
