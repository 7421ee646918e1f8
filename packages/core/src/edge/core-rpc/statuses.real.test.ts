import { pb } from '@eru/contract';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

import { absent, addPodAndNode, deployed, settled } from './core-rpc.suite.ts';
import { collect, failure, json, startTestCore, text, type TestCore } from '../harness.suite.ts';

let core: TestCore;
let rpc: TestCore['rpc'];
beforeEach(async () => {
  core = await startTestCore();
  ({ rpc } = core);
});
afterEach(() => core.close());

describe('statuses', () => {
  let id: string;
  beforeEach(async () => {
    await addPodAndNode(rpc);
    [id = ''] = await deployed(rpc, 1, { labels: { tier: 'a' } });
  });
  const report = (status: object) =>
    rpc.setWorkloadsStatus({
      status: [{ id, appname: 'app', nodename: 'n1', running: true, healthy: true, ...status }],
    });

  test('are stored as they are, and shown with the workload', async () => {
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toMatchObject([{ id, running: false }]);
    const { status } = await report({ networks: { host: '10.0.0.7/24' }, extension: json({ a: 'b' }) });
    expect(status).toMatchObject([
      { id, running: true, healthy: true, networks: { host: '10.0.0.7/24' }, ttl: 0n, appname: '' },
    ]);
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toEqual(status);
    expect(text((await rpc.getWorkload({ id })).status?.extension)).toBe('{"a":"b"}');
    await rpc.setNode({ nodename: 'n1', workloadsDown: true });
    expect((await rpc.getWorkload({ id })).status).toMatchObject({
      id,
      running: false,
      healthy: false,
      networks: { host: '10.0.0.7/24' },
    });
  });

  test('events: a change is one, the same again is none; labels and names filter', async () => {
    const [all, others] = [
      rpc.workloadStatusStream({ appname: 'app' }),
      rpc.workloadStatusStream({ labels: { tier: 'b' } }),
    ];
    const [first, other] = [all.next(), others.next()];
    await settled(rpc);
    await report({});
    expect((await first).value).toMatchObject({
      id,
      error: '',
      delete: false,
      workload: { id },
      status: { id, running: true },
    });
    const { revision } = core.core.context.view;
    await report({});
    await report({});
    expect(core.core.context.view.revision).toBe(revision);
    await report({ healthy: false });
    expect((await all.next()).value).toMatchObject({ status: { healthy: false } });
    await collect(rpc.removeWorkload({ IDs: [id], force: true }));
    const gone = (await all.next()).value;
    expect(gone).toMatchObject({ id, delete: true, error: absent(`/workloads/${id}`) });
    expect(gone?.workload).toBeUndefined();
    // Labels of a workload that is gone are not known any more: everybody who may have seen it is told.
    expect((await other).value).toMatchObject({ id, delete: true });
    core.stop();
    expect(await all.next()).toMatchObject({ done: true });
  });

  test('with a life of their own lapse, and say so with the workload and an empty status', async () => {
    const events = rpc.workloadStatusStream({});
    const first = events.next();
    await settled(rpc);
    await report({ ttl: 1n });
    await first;
    const lapsed = (await events.next()).value;
    expect(lapsed).toMatchObject({ id, delete: true, error: '', workload: { id } });
    expect(lapsed?.status).toMatchObject({ id: '', running: false });
  });

  test('of an unknown workload end the call; those before it are written', async () => {
    const status = [{ id, running: true }, { id: 'x' }, { id }];
    expect(await failure(rpc.setWorkloadsStatus({ status }))).toEqual([1056, absent('/workloads/x')]);
    expect((await rpc.getWorkloadsStatus({ IDs: [id] })).status).toMatchObject([{ running: true }]);
    expect((await rpc.setWorkloadsStatus({})).status).toEqual([]);
    expect(await failure(rpc.getWorkloadsStatus({ IDs: [id, 'x'] }))).toEqual([1055, absent('/workloads/x')]);
  });

  test('nothing runs, as far as anyone can tell, on a node without a heartbeat', async () => {
    await addPodAndNode(rpc, 'n2', 'sim://n2');
    await rpc.setNodeStatus({ nodename: 'n2', ttl: 60n });
    const [there = ''] = await deployed(rpc, 1, { nodenames: ['n2'] });
    await rpc.setWorkloadsStatus({ status: [{ id: there, running: true, healthy: true }] });
    expect((await rpc.getWorkload({ id: there })).status).toMatchObject({ running: true });
    const events = rpc.workloadStatusStream({});
    const first = events.next();
    await settled(rpc);
    await rpc.setNodeStatus({ nodename: 'n2', ttl: -1n });
    expect((await first).value).toMatchObject({ id: there, status: { running: false, healthy: false }, delete: false });
    expect((await rpc.getWorkload({ id: there })).status).toMatchObject({ running: false });
    await rpc.setNodeStatus({ nodename: 'n2', ttl: 60n });
    expect((await events.next()).value).toMatchObject({ id: there, status: { running: true } });
  });
});

describe('streams of one workload', () => {
  let id: string;
  beforeEach(async () => {
    await addPodAndNode(rpc);
    [id = ''] = await deployed(rpc, 1, { entrypoint: { name: 'web', commands: ['serve', 'one', 'two'] } });
  });

  test('logs come line by line; follow goes on until this core stops', async () => {
    const stream = rpc.logStream({ id, tail: '2', follow: true });
    const lines = [(await stream.next()).value, (await stream.next()).value];
    expect(lines.map((line) => text(line?.data))).toEqual(['two\n', 'ready\n']);
    await core.machines.resolve('mock://n1').print(id, 'more\n', 'stderr');
    expect((await stream.next()).value).toMatchObject({ id, stdStreamType: pb.StdStreamType.STDERR });
    core.stop();
    expect(await stream.next()).toMatchObject({ done: true });
  });

  test.each([
    ['no id', {}, 'workload ID is empty'],
    ['an unknown id', { id: 'x' }, absent('/workloads/x')],
  ])('logs of %s are one message with the error', async (_what, request, error) => {
    expect(await collect(rpc.logStream(request))).toMatchObject([{ error }]);
  });

  test('a bad time is told the same way', async () => {
    expect(await collect(rpc.logStream({ id, since: 'yesterday' }))).toMatchObject([
      { id, error: expect.stringContaining('since') },
    ]);
  });

  const exec = async (...messages: object[]) =>
    collect(
      rpc.executeWorkload(
        (async function* () {
          yield* messages;
        })(),
      ),
    );

  test('a command without stdin: lines of both streams, then its exit code', async () => {
    const messages = await exec({ workloadId: id, commands: ['speak'] });
    expect(messages.map(({ data, stdStreamType }) => [text(data), stdStreamType])).toEqual([
      ['out\n', 0],
      ['err\n', 1],
      ['[exitcode] 3', 0],
    ]);
  });

  test('with stdin: what is typed goes in, a size resizes, Ctrl-] ends it', async () => {
    const size = Buffer.concat([Uint8Array.of(0x80), json({ Row: 5, Col: 7 })]);
    const messages = await exec(
      { workloadId: id, commands: ['size'], openStdin: true },
      { replCmd: size },
      { replCmd: new TextEncoder().encode('x') },
      { replCmd: Uint8Array.of(0x1d) },
    );
    expect(messages.map(({ data }) => text(data)).join('')).toMatch(/^5 7\r?\n\[exitcode\] 0$/);
  });

  test('what fails is a message without an exit code', async () => {
    expect((await exec({ workloadId: 'x', commands: ['speak'] })).map(({ data }) => text(data))).toEqual([
      absent('/workloads/x'),
    ]);
    expect((await failure(exec()))[0]).toBe(1079);
  });
});
