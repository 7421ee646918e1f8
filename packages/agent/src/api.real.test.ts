import { once } from 'node:events';
import http from 'node:http';

import { create, eru, pb } from '@eru/contract';
import type { Engine } from '@eru/engines';
import { SimulatedMachine } from '@eru/engines';
import { EruError, seededRandom, silentLogger, systemClock } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { metricsText } from './agent-metrics.ts';
import { startAgent, type Agent } from './agent.ts';
import { startApi } from './api.ts';
import type { CoreCalls } from './core-calls.ts';
import { logSpec } from './logs/receiver.suite.ts';
import { usageFromEngine } from './metrics/read-usage.ts';
import { WorkloadMetrics } from './metrics/workload-metrics.ts';

let machine: SimulatedMachine;
let engine: Engine;
let agent: Agent;
let api: Awaited<ReturnType<typeof startApi>>;
let measuring: AbortController;
let away: boolean;

beforeEach(async () => {
  away = false;
  machine = new SimulatedMachine({ name: 'n1', clock: systemClock, random: seededRandom(3) });
  engine = machine.engine();
  const answer = <T>(value: T): Promise<T> =>
    away ? Promise.reject(new EruError('unavailable', 'core is away')) : Promise.resolve(value);
  const core: CoreCalls = {
    core: {
      getNode: () => answer(create(pb.NodeSchema, { podname: 'default' })),
      addNode: () => answer(create(pb.NodeSchema)),
      addPod: () => answer(create(pb.PodSchema)),
      setNodeStatus: () => answer(create(pb.EmptySchema)),
    },
    eru: { reportWorkloads: () => answer(create(eru.ReportWorkloadsResponseSchema)) },
  };
  agent = startAgent({ node: 'n1', core, engine, heartbeatIntervalS: 0.05 });
  measuring = new AbortController();
  const metrics = new WorkloadMetrics({
    node: 'n1',
    workloads: agent.workloads,
    readUsage: usageFromEngine(engine, 1000),
    proc: '/proc',
    stepMs: 20,
    statsd: undefined,
    clock: systemClock,
    logger: silentLogger,
  });
  metrics.run(measuring.signal).catch(() => {});
  const text = (): string => metricsText(agent, metrics, undefined);
  api = await startApi({ listen: ':0', agent, engine, metrics: text, version: '1.2.3', clock: systemClock });
});

afterEach(async () => {
  measuring.abort();
  await api.close();
  await agent.close();
});

async function workload(name: string): Promise<string> {
  const { id } = await engine.create(logSpec(name));
  await engine.start(id);
  return id;
}

const get = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`http://${api.address}${path}`, { redirect: 'manual', ...init });

test('it listens on loopback, and says what it is and whether all is well', async () => {
  expect(api.address).toMatch(/^127\.0\.0\.1:\d+$/);
  expect(await (await get('/version/')).json()).toEqual({ version: '1.2.3' });
  expect((await get('/version')).headers.get('location')).toBe('/version/');
  expect((await get('/log?app=a')).headers.get('location')).toBe('/log/?app=a');
  expect((await get('/healthz')).status).toBe(200);
  await expect.poll(async () => (await get('/readyz')).status).toBe(200);
  away = true;
  await expect.poll(async () => (await get('/readyz')).status).toBe(503);
  expect(await (await get('/readyz')).text()).toBe('core: core is away\n');
  expect((await get('/healthz')).status).toBe(200);
  expect((await get('/healthz', { method: 'POST' })).status).toBe(405);
  expect((await get('/nothing')).status).toBe(404);
});

test('metrics have the original’s labels and names, and better ones beside them', async () => {
  const id = await workload('shop_web_AbCdEf');
  const text = async (): Promise<string> => (await get('/metrics')).text();
  await expect.poll(text).toContain('cpu_host_usage');
  const said = await text();
  const constant = `containerID="${id}",hostname="n1",appname="shop",entrypoint="web",orchestrator="ERU"`;
  expect(said).toContain(
    `cpu_host_usage{${constant},labels="eru.nodename=n1,eru.coreid=c1,eru.operation=shop_web_AbCdEf"} `,
  );
  const labels = `{id="${id}",app="shop",entrypoint="web",name="shop_web_AbCdEf"}`;
  expect(said).toContain(`eru_workload_healthy${labels} 1\n`);
  expect(said).toMatch(/^# TYPE eru_workload_cpu_seconds_total counter$/m);
  expect(said).toContain('eru_agent_workloads 1\n');
});

test('a listener gets the new lines of one app, of workloads that come later, too', async () => {
  const old = await workload('shop_web_AbCdEf');
  await workload('other_web_AbCdEf');
  await machine.print(old, 'before\n');
  await expect.poll(() => agent.workloads.size).toBe(2);
  const request = http.get(`http://${api.address}/log/?app=shop`);
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (part: string) => (text += part));
  const later = await workload('shop_api_AbCdEf');
  await machine.print(old, 'after\n', 'stderr');
  await machine.print(later, 'mine\n');
  const lines = (): { data: string }[] =>
    text
      .split('\r\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { data: string });
  await expect
    .poll(() =>
      lines()
        .map(({ data }) => data)
        .toSorted(),
    )
    .toEqual(['after', 'mine', 'ready']);
  expect(lines().find(({ data }) => data === 'after')).toMatchObject({
    id: old,
    name: 'shop',
    type: 'stderr',
    entrypoint: 'web',
    extra: { podname: 'default', nodename: 'n1' },
  });
  request.destroy();
});

test('logs are for those who ask rightly, and not for pages of a browser', async () => {
  expect((await get('/log/')).status).toBe(400);
  expect((await get('/log/?app=a', { headers: { origin: 'http://evil.example' } })).status).toBe(403);
  const rebound = http.get(`http://${api.address}/log/?app=a`, { headers: { host: 'evil.example' } });
  const [response] = (await once(rebound, 'response')) as [http.IncomingMessage];
  expect(response.statusCode).toBe(403);
  response.resume();
});
