import { client, connect, pb, type Client, type eru, type MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { collect, failure, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
beforeEach(async () => {
  core = await startTestCore();
  await core.rpc.addPod({ name: 'pod' });
  await core.rpc.addNode({ nodename: 'n1', endpoint: 'mock://n1?cpus=4&memory=1G', podname: 'pod' });
});
afterEach(() => core.close());

type Deploy = MessageInitShape<typeof eru.DeployRequestSchema>;
type Options = Exclude<MessageInitShape<typeof pb.DeployOptionsSchema>, pb.DeployOptions>;

function request(options: Options = {}, rest: Deploy = {}): Deploy {
  const merged: Options = {
    name: 'app',
    podname: 'pod',
    count: 1,
    entrypoint: { name: 'web', commands: ['serve'], publish: ['http'] },
    ...options,
  };
  return { ...rest, options: merged } as Deploy;
}

const memory = (bytes: number): Options => ({
  resources: { cpumem: json({ 'memory-request': bytes, 'memory-limit': bytes }) },
});

async function deployed(options: Options = {}): Promise<{ id: string; name: string }[]> {
  const events = await collect(core.eru.deploy(request(options)));
  return events.flatMap(({ event }) => (event.case === 'done' ? [{ id: event.value.id, name: event.value.name }] : []));
}

describe('Deploy', () => {
  test('tells the plan, every step, and the outcome of every instance', async () => {
    const events = (await collect(core.eru.deploy(request({ count: 2 })))).map(({ event }) => event);
    const [planned] = events;
    expect(planned).toMatchObject({ case: 'planned', value: { ok: true, total: 2n } });
    const names = planned?.case === 'planned' ? planned.value.instances.map(({ name }) => name) : [];
    for (const name of names) {
      const steps = events.flatMap((event) =>
        event.case === 'progress' && event.value.name === name ? event.value.step : [],
      );
      expect(steps).toEqual(expect.arrayContaining(['created', 'recorded', 'started', 'done']));
      expect(events).toContainEqual({
        case: 'done',
        value: expect.objectContaining({ name, success: true, nodename: 'n1', error: '' }),
      });
    }
    expect(names).toHaveLength(2);
  });

  test('what does not fit is one refusal that says why, node by node, and nothing is booked', async () => {
    const events = await collect(core.eru.deploy(request({ count: 3, ...memory(600 * 2 ** 20) })));
    expect(events.map(({ event }) => event.case)).toEqual(['refused']);
    expect(events[0]?.event.value).toMatchObject({
      ok: false,
      message: expect.stringContaining('not enough resource'),
      total: 1n,
      capacities: { n1: 1n },
    });
    const { resourceUsage } = await core.rpc.getNode({ nodename: 'n1' });
    expect(JSON.parse(resourceUsage)).toMatchObject({ cpumem: { memory: 0 } });
  });

  test('instances of a node whose image cannot be had are named, with their node', async () => {
    const machine = core.machines.resolve('mock://n1');
    machine.faults = (verb, phase) => {
      if (verb === 'imagePull' && phase === 'before') throw new EruError('failed', 'no such registry');
    };
    const events = (await collect(core.eru.deploy(request({ count: 2, image: 'web:1' })))).map(({ event }) => event);
    const [planned] = events;
    const names = planned?.case === 'planned' ? planned.value.instances.map(({ name }) => name) : [];
    for (const name of names)
      expect(events).toContainEqual({
        case: 'progress',
        value: expect.objectContaining({ name, node: 'n1', step: 'fetching web:1' }),
      });
    const done = events.flatMap((event) => (event.case === 'done' ? [event.value] : []));
    expect(done.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
    for (const message of done)
      expect(message).toMatchObject({ nodename: 'n1', success: false, error: 'no such registry' });
  });

  test('a node on which not one fits is refused with what it has', async () => {
    const plan = await core.eru.plan(request(memory(4 * 2 ** 30)));
    expect(plan.refused).toMatchObject([{ node: 'n1', kind: 'cpumem', needed: 4 * 2 ** 30, unit: 'bytes' }]);
  });

  test('where no node may be used, each says why', async () => {
    await core.rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.TRUE });
    const refused = [{ node: 'n1', kind: 'node', reason: expect.stringContaining('down') }];
    expect(await core.eru.plan(request())).toMatchObject({ ok: false, message: 'node map is empty', refused });
    const [event] = await collect(core.eru.deploy(request()));
    expect(event?.event).toMatchObject({ case: 'refused', value: { refused } });
  });

  test.each<[string, string, Deploy]>([
    ['not_found', 'pod nowhere is not known; there are: pod', request({ podname: 'nowhere' })],
    ['invalid', 'app name is empty', request({ name: '' })],
    [
      'invalid',
      'resources: this cluster has no resource cpumem.cpus',
      request({ resources: { cpumem: json({ cpus: 1 }) } }),
    ],
    ['invalid', 'resources.cpumem: "1" is not allowed', request({ resources: { cpumem: json(1) } })],
    ['invalid', 'invalid memory', request(memory(-1))],
    ['invalid', 'process.root', request({}, { process: { root: 'there' } })],
    ['invalid', 'idempotency_key: "a/b"', request({}, { idempotencyKey: 'a/b' })],
    ['invalid', 'count: 5001', request({ count: 5001 }, { idempotencyKey: 'k' })],
  ])('bad input is %s: %s', async (code, message, wrong) => {
    const expected = { code, message: expect.stringContaining(message) };
    await expect(collect(core.eru.deploy(wrong))).rejects.toMatchObject(expected);
    await expect(core.eru.plan(wrong)).rejects.toMatchObject(expected);
  });

  test('Plan says where instances would go, without effect', async () => {
    const plan = await core.eru.plan(request({ count: 2, ...memory(1024) }));
    expect(plan).toMatchObject({ ok: true, total: 2n, instances: [{ node: 'n1', name: '' }, { node: 'n1' }] });
    expect(JSON.parse(plan.instances[0]?.resources ?? '')).toMatchObject({ cpumem: { memory_request: 1024 } });
    expect(await collect(core.eru.listWorkloads({}))).toEqual([]);
  });

  test('Plan explains: why this node, and how many would fit', async () => {
    const plan = await core.eru.plan(request({ count: 2, ...memory(2 ** 20) }, { explain: true }));
    expect(plan.choices).toMatchObject([{ node: 'n1', instances: 2n, count: 0n, usage: 0, preference: 0 }]);
    expect(plan.total).toBeGreaterThan(2n);
    expect(plan.capacities).toEqual({ n1: plan.total });
  });

  test('affinity looks at the labels of workloads that run, their app and entrypoint among them', async () => {
    const alone = { resources: { affinity: json({ 'anti-affinity': [{ labels: { app: 'app' } }] }) } };
    const twice = await core.eru.plan(request({ name: 'app', count: 2, ...alone }));
    expect(twice).toMatchObject({ ok: false, refused: [] });
    await collect(core.eru.deploy(request({ name: 'app', count: 1, ...alone })));
    const reason = 'a workload with app=app is on the node';
    expect(await core.eru.plan(request({ name: 'app', ...alone }))).toMatchObject({ ok: false, refused: [{ reason }] });
    // Nor may another instance come to it that has nothing against company itself.
    const kept = 'a workload on the node keeps this one away';
    expect(await core.eru.plan(request({ name: 'app' }))).toMatchObject({ ok: false, refused: [{ reason: kept }] });
    expect(await core.eru.plan(request({ name: 'other' }))).toMatchObject({ ok: true });
  });

  test('a client that reads nothing holds nothing up', async () => {
    const stream = core.eru.deploy(request({ count: 20 }));
    await expect.poll(() => core.core.context.view.workloads.size).toBe(20);
    await expect.poll(() => core.core.context.view.operations.size).toBe(0);
    expect((await collect(stream)).filter(({ event }) => event.case === 'done')).toHaveLength(20);
  });
});

describe('ListWorkloads', () => {
  test('shows record, limits and what the agent said, in name order', async () => {
    const [one] = await deployed({ count: 2, ...memory(2 ** 26) });
    const id = one?.id ?? '';
    const status = {
      state: 'exited',
      running: false,
      healthy: false,
      reason: 'exited',
      exitCode: 137,
      oomKilled: true,
      restarts: 2,
      startedAt: 1000n,
      finishedAt: 2000n,
      networks: { host: '10.0.0.9', web: '10.8.0.2' },
      addresses: { web: { addresses: ['10.8.0.2', 'fd08::2'] } },
      ports: { http: 31000 },
      effective: {
        cpu: 0.5,
        memory: 2n ** 26n,
        pids: 9,
        cpuset: [1],
        io: [{ device: '/dev/sda', readIops: 9n, directOnly: false }],
      },
      error: 'oops',
    };
    expect(
      await core.eru.reportWorkloads({ node: 'n1', reports: [{ id, status, extension: json({ a: 'b' }) }] }),
    ).toMatchObject({ unknown: [] });
    const all = await collect(core.eru.listWorkloads({}));
    const names = all.map(({ record }) => record?.name ?? '');
    expect(names).toEqual(names.toSorted());
    const found = all.find(({ record }) => record?.id === id);
    expect(found).toMatchObject({
      app: 'app',
      entrypoint: 'web',
      engine: 'simulated',
      status: { ...status, addresses: { host: { addresses: ['10.0.0.9'] }, ...status.addresses } },
      requested: { memory: 2n ** 26n },
      operation: '',
      vanishedAt: 0n,
    });
    expect(found?.record?.publish).toEqual({ host: '10.0.0.9:31000', web: '10.8.0.2:31000,[fd08::2]:31000' });
    // The original has one address for each network.
    expect((await core.rpc.getWorkload({ id })).status?.networks).toEqual(status.networks);
  });

  test('filters, and finds by words', async () => {
    const [one, two] = await deployed({ count: 2, labels: { tier: 'a' } });
    await deployed({ name: 'other' });
    const list = async (filter: object): Promise<(string | undefined)[]> =>
      (await collect(core.eru.listWorkloads(filter))).map(({ record }) => record?.id);
    expect(await list({ app: 'other' })).toHaveLength(1);
    expect(await list({ labels: { tier: 'a' } })).toHaveLength(2);
    expect(await list({ node: 'n2' })).toEqual([]);
    expect(await list({ pod: 'pod', entrypoint: 'web' })).toHaveLength(3);
    expect(await list({ words: [one?.id.slice(0, 12), two?.name] })).toHaveLength(2);
    await expect(list({ words: ['nobody'] })).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('"nobody"'),
    });
    await expect(list({ app: 'other', words: [one?.id] })).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('ReportWorkloads', () => {
  test('tells ids without a record on that node', async () => {
    await core.rpc.addNode({ nodename: 'n2', endpoint: 'mock://n2', podname: 'pod' });
    const [one] = await deployed({ nodenames: ['n1'] });
    const reports = [{ id: one?.id ?? '' }, { id: 'x' }];
    expect((await core.eru.reportWorkloads({ node: 'n2', reports })).unknown).toEqual([one?.id, 'x']);
    expect((await core.eru.reportWorkloads({ node: 'n1', reports })).unknown).toEqual(['x']);
    await expect(core.eru.reportWorkloads({ node: 'x' })).rejects.toMatchObject({ code: 'not_found' });
  });

  test('writes many in few transactions, and nothing twice', async () => {
    const reports = (await deployed({ count: 100 })).map(({ id }) => ({ id, status: { running: true } }));
    const before = core.core.context.view.revision;
    await core.eru.reportWorkloads({ node: 'n1', reports });
    const after = core.core.context.view;
    await expect.poll(() => after.workloadStatuses.size).toBe(100);
    expect(after.revision - before).toBeLessThanOrEqual(10);
    const revisions = [...after.workloadStatuses].map(([, { modRevision }]) => modRevision);
    await core.eru.reportWorkloads({ node: 'n1', reports });
    expect([...after.workloadStatuses].map(([, { modRevision }]) => modRevision)).toEqual(revisions);
  });
});

test('Remove stops first, many at once, and says what it does not know', async () => {
  const ids = (await deployed({ count: 3, ...memory(1024) })).map(({ id }) => id);
  const events = await collect(core.eru.remove({ ids: [...ids, 'x'] }));
  expect(
    events
      .filter(({ success }) => success)
      .map(({ id }) => id)
      .toSorted(),
  ).toEqual(ids.toSorted());
  expect(events.find(({ id }) => id === 'x')).toMatchObject({
    success: false,
    error: expect.stringContaining('/workloads/x'),
  });
  expect(core.machines.resolve('mock://n1').workloads()).toEqual([]);
  const { resourceUsage } = await core.rpc.getNode({ nodename: 'n1' });
  expect(JSON.parse(resourceUsage)).toMatchObject({ cpumem: { memory: 0 } });
  await expect(collect(core.eru.remove({}))).rejects.toMatchObject({ code: 'invalid' });
});

test('DumpStore shows every key as JSON, without secrets', async () => {
  await core.rpc.setNode({ nodename: 'n1', key: '-----BEGIN PRIVATE KEY-----' });
  const entries = await collect(core.eru.dumpStore({}));
  const keys = entries.map(({ key }) => key);
  expect(keys).toEqual(expect.arrayContaining(['cluster', 'nodes/n1', 'node-resources/n1', 'pods/pod']));
  const node = entries.find(({ key }) => key === 'nodes/n1');
  expect(JSON.parse(node?.value ?? '')).toMatchObject({ name: 'n1', key: '***' });
  expect(entries.find(({ key }) => key.startsWith('cores/'))?.leased).toBe(true);
  expect((await collect(core.eru.dumpStore({ prefix: 'pods/' }))).map(({ key }) => key)).toEqual(['pods/pod']);
});

describe('Exec', () => {
  type Message = MessageInitShape<typeof eru.ExecRequestSchema>;
  const run = async (...messages: (Message['request'] | undefined)[]) =>
    (
      await collect(
        core.eru.exec(
          (async function* () {
            for (const message of messages) yield message === undefined ? {} : { request: message };
          })(),
        ),
      )
    ).map(({ response }) =>
      response.case === 'stdout' || response.case === 'stderr'
        ? [response.case, text(response.value)]
        : [response.case, response.case === 'exitCode' ? response.value : undefined],
    );
  const open = (id: string, command: string[], more: object = {}): Message['request'] => ({
    case: 'open',
    value: { id, command, ...more },
  });

  test('started, output of both streams, then the exit code', async () => {
    const [one] = await deployed();
    expect(await run(open(one?.id ?? '', ['speak']))).toEqual([
      ['started', undefined],
      ['stdout', 'out\n'],
      ['stderr', 'err\n'],
      ['exitCode', 3],
    ]);
  });

  test('stdin without a terminal ends with the half-close', async () => {
    const [one] = await deployed();
    const answers = await run(
      open(one?.id ?? '', ['cat'], { stdin: true }),
      { case: 'stdin', value: new TextEncoder().encode('hi') },
      { case: 'closeStdin', value: true },
    );
    expect(answers).toEqual([
      ['started', undefined],
      ['stdout', 'hi'],
      ['exitCode', 0],
    ]);
  });

  test('refusals fail the call', async () => {
    const [one] = await deployed();
    await expect(run(open('x', ['cat']))).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('x'),
    });
    await expect(run({ case: 'stdin', value: new Uint8Array() })).rejects.toMatchObject({ code: 'invalid' });
    await expect(run(open(one?.id ?? '', []))).rejects.toMatchObject({ code: 'invalid' });
    const again = open(one?.id ?? '', ['cat'], { stdin: true });
    await expect(run(again, again)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('the credential', () => {
  const credential = { username: 'Eru', password: 'secret' };
  let guarded: TestCore;
  beforeEach(async () => {
    guarded = await startTestCore({ credential });
  });
  afterEach(() => guarded.close());

  test('is wanted of every call, with the texts of the original', async () => {
    expect(await guarded.rpc.info({})).toMatchObject({ version: 'test' });
    const attempt = async (credentials: Record<string, string>): Promise<[unknown, string]> => {
      const channel = connect(guarded.address, { credentials });
      try {
        return await failure(client(pb.CoreRPC, channel).info({}));
      } finally {
        channel.close();
      }
    };
    expect(await attempt({})).toEqual([2, 'invalid grpc username']);
    expect(await attempt({ eru: 'wrong' })).toEqual([2, 'invalid grpc password']);
  });

  test('is wanted for the metrics, not for the probes', async () => {
    const get = async (path: string, headers: Record<string, string> = {}) =>
      fetch(`http://${guarded.address}${path}`, { headers });
    expect((await get('/healthz')).status).toBe(200);
    expect((await get('/readyz')).status).toBe(200);
    expect((await get('/metrics')).status).toBe(401);
    expect((await get('/metrics', { eru: 'secret' })).status).toBe(200);
    expect(await (await get('/openapi.json')).json()).toMatchObject({ openapi: '3.1.0', info: { version: 'test' } });
  });
});

describe('tokens', () => {
  const credential = { username: 'eru', password: 'secret' };
  let guarded: TestCore;
  beforeEach(async () => {
    guarded = await startTestCore({ credential });
  });
  afterEach(() => guarded.close());

  const withToken = async <T>(secret: string, use: (rpc: Client<typeof pb.CoreRPC>) => Promise<T>): Promise<T> => {
    const channel = connect(guarded.address, { credentials: { authorization: `Bearer ${secret}` } });
    try {
      return await use(client(pb.CoreRPC, channel));
    } finally {
      channel.close();
    }
  };

  test('let a program do what its role says, until removed; the store keeps no secret', async () => {
    const { token, secret } = await guarded.eru.createToken({ name: 'ci', role: 'operate', ttl: 0n });
    expect(token).toMatchObject({ name: 'ci', role: 'operate', expiresAt: 0n });
    expect(await withToken(secret, (rpc) => rpc.listPods({}))).toMatchObject({ pods: [] });
    expect(await withToken(secret, (rpc) => failure(rpc.addPod({ name: 'p' })))).toEqual([
      7,
      'AddPod needs the role admin; token ci has operate',
    ]);
    const entries = await collect(guarded.eru.dumpStore({ prefix: 'tokens/' }));
    expect(entries.map(({ key }) => key)).toEqual(['tokens/ci']);
    expect(
      JSON.stringify(entries, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
    ).not.toContain(secret);
    expect(await guarded.eru.listTokens({})).toMatchObject({ tokens: [{ name: 'ci' }] });
    await guarded.eru.removeToken({ name: 'ci' });
    expect(await withToken(secret, (rpc) => failure(rpc.listPods({})))).toEqual([
      2,
      'the token is not known, or has expired',
    ]);
  });

  test('bad requests say what to write', async () => {
    const create = (request: { name?: string; role?: string; ttl?: bigint }) =>
      failure(guarded.eru.createToken({ name: 'x', role: 'read', ttl: 0n, ...request }));
    expect(await create({ role: 'root' })).toEqual([
      3,
      'role: "root" is not allowed; the roles are read, operate, admin',
    ]);
    expect((await create({ name: 'a b' }))[1]).toMatch(/^token: "a b" is not allowed/);
    expect((await create({ ttl: -1n }))[1]).toMatch(/^ttl: -1 is not allowed/);
    await guarded.eru.createToken({ name: 'x', role: 'read' });
    expect(await create({})).toEqual([6, 'token x exists; remove it first, or choose another name']);
    expect(await failure(guarded.eru.removeToken({ name: 'none' }))).toEqual([5, 'token none is not known']);
  });
});

test('metrics tell of nodes, deploys and calls', async () => {
  await deployed(memory(1024));
  const answer = await fetch(`http://${core.address}/metrics`);
  expect(answer.headers.get('content-type')).toContain('text/plain');
  const metrics = await answer.text();
  expect(metrics).toMatch(/^core_deploy\{hostname="[^".]+"\} 1$/m);
  expect(metrics).toMatch(/^pod_node_up\{hostname="[^".]+",podname="pod",nodename="n1"\} 1$/m);
  expect(metrics).toContain('memory_used{podname="pod",nodename="n1"} 1024');
  expect(metrics).toContain('eru_rpc_seconds_count{method="eru.v1.Eru/Deploy",outcome="ok"} 1');
  expect(metrics).toContain('eru_operations 0');
  await core.rpc.setNode({ nodename: 'n1', bypass: pb.TriOpt.TRUE });
  await core.rpc.removeNode({ nodename: 'n1' }).catch(() => {});
  core.stop();
  expect((await fetch(`http://${core.address}/readyz`)).status).toBe(503);
});
