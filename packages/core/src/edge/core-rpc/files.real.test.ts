import { readTar } from '@eru/engines';
import { EruError } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startBed, type Bed } from './contract-bed.suite.ts';
import { collect, failure } from '../harness.suite.ts';

let bed: Bed;
beforeEach(async () => {
  bed = await startBed({ limits: { transferIdleMs: 500 } });
});
afterEach(() => bed.close());

const large = Buffer.alloc(300_000, 'large');

/** Another workload, on a machine of its own. */
async function another(node: string): Promise<string> {
  await bed.rpc.addNode({ nodename: node, endpoint: `mock://${node}`, podname: 'pod' });
  const [created] = await collect(
    bed.rpc.createWorkload({
      name: 'app',
      podname: 'pod',
      image: 'image:1',
      count: 1,
      entrypoint: { name: 'web', commands: ['serve'] },
      nodenames: [node],
    }),
  );
  return created?.id ?? '';
}

async function* chunks(ids: string[], dst: string, contents: Uint8Array, more: object = {}): AsyncGenerator<object> {
  const bytes = 20_000;
  for (let at = 0; at < contents.length; at += bytes)
    yield { ids, dst, size: BigInt(contents.length), ...more, chunk: contents.subarray(at, at + bytes) };
}

const fileAt = async (node: string, id: string, path: string) =>
  readTar(Buffer.concat(await collect(bed.machines.resolve(`mock://${node}`).engine().copyFrom(id, path)))).get(
    path.split('/').at(-1) ?? '',
  );

test('what is sent has the mode and owner that were asked for, or may be read and run by all', async () => {
  const data = { '/a': Buffer.from('a'), '/b': Buffer.from('b'), '/empty': new Uint8Array() };
  await collect(
    bed.rpc.send({
      IDs: [bed.id],
      data,
      modes: { '/b': { mode: 0o640n } },
      owners: { '/b': { uid: 5_000_000, gid: 7 } },
    }),
  );
  expect(await fileAt('n1', bed.id, '/a')).toMatchObject({ mode: 0o755, uid: 0, gid: 0 });
  expect(await fileAt('n1', bed.id, '/b')).toMatchObject({ mode: 0o640, uid: 5_000_000, gid: 7 });
  expect((await fileAt('n1', bed.id, '/empty'))?.contents).toHaveLength(0);
});

test('a large file goes to all, and comes back in small pieces, one path after the other', async () => {
  const there = await another('n2');
  const sent = await collect(bed.rpc.sendLargeFile(chunks([bed.id, there], '/large', large)));
  expect(sent.map(({ id, path, error }) => `${id} ${path} ${error}`).toSorted()).toEqual(
    [bed.id, there].map((id) => `${id} /large `).toSorted(),
  );
  const paths = ['/large', '/etc/app/config'];
  const pieces = await collect(bed.rpc.copy({ targets: { [bed.id]: { paths }, [there]: { paths: ['/large'] } } }));
  const runs = pieces.map(({ id, path }) => `${id}${path}`).filter((key, index, all) => key !== all[index - 1]);
  expect(runs).toHaveLength(3);
  expect(Math.max(...pieces.map(({ data }) => data.length))).toBe(4096);
  for (const id of [bed.id, there]) {
    const archive = pieces.filter((piece) => piece.id === id && piece.path === '/large').map(({ data }) => data);
    expect(large.equals(readTar(Buffer.concat(archive)).get('large')?.contents ?? new Uint8Array())).toBe(true);
  }
});

test('a target that takes nothing is told so, and stalls nobody', async () => {
  const dead = await another('n2');
  bed.machines.resolve('mock://n2').faults = (verb) => (verb === 'copyTo' ? new Promise(() => {}) : undefined);
  const contents = Buffer.alloc(8 * 2 ** 20, 'x');
  const messages = await collect(bed.rpc.sendLargeFile(chunks([dead, bed.id], '/large', contents)));
  expect(messages).toHaveLength(2);
  expect(messages.find(({ id }) => id === bed.id)).toMatchObject({ path: '/large', error: '' });
  expect(messages.find(({ id }) => id === dead)?.error).toContain('fell behind');
  expect(contents.equals((await fileAt('n1', bed.id, '/large'))?.contents ?? new Uint8Array())).toBe(true);
  expect(bed.core.context.view.claims.size).toBe(0);
});

test('a small file whose target never answers ends too', async () => {
  bed.machines.resolve('mock://n1').faults = (verb) => (verb === 'copyTo' ? new Promise(() => {}) : undefined);
  expect(await collect(bed.rpc.sendLargeFile(chunks([bed.id], '/a', Buffer.from('a'))))).toMatchObject([
    { id: bed.id, path: '/a', error: expect.stringContaining('was not done 2 s after the last piece') },
  ]);
});

test('a source that gives nothing is told so, and stalls nobody', async () => {
  const dead = await another('n2');
  bed.machines.resolve('mock://n2').faults = (verb) => (verb === 'copyFrom' ? new Promise(() => {}) : undefined);
  const paths = ['/etc/app/config'];
  const messages = await collect(bed.rpc.copy({ targets: { [dead]: { paths }, [bed.id]: { paths } } }));
  expect(messages.map(({ id, error }) => [id, error])).toEqual([
    [bed.id, ''],
    [dead, expect.stringContaining('nothing came for 0.5 s')],
  ]);
});

test('one stream is one file, of the size that was announced', async () => {
  const two = async function* (): AsyncGenerator<object> {
    yield { ids: [bed.id], dst: '/a', size: 2n, chunk: Buffer.from('a') };
    yield { ids: [bed.id], dst: '/b', size: 2n, chunk: Buffer.from('b') };
  };
  expect(await collect(bed.rpc.sendLargeFile(two()))).toMatchObject([
    { id: bed.id, error: 'one file per stream: it began with /a, then came /b' },
  ]);
  const long = chunks([bed.id], '/a', Buffer.from('abc'), { size: 2n });
  expect(await collect(bed.rpc.sendLargeFile(long))).toMatchObject([
    { id: bed.id, error: 'more came than the 2 bytes that were announced' },
  ]);
  expect(await fileAt('n1', bed.id, '/a').catch(() => undefined)).toBeUndefined();
});

test('a workload is not changed while something is put into it', async () => {
  let letGo = (): void => {};
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const machine = bed.machines.resolve('mock://n1');
  const begun = new Promise<void>((resolve) => {
    machine.faults = (verb) => {
      if (verb !== 'copyTo') return undefined;
      resolve();
      return held;
    };
  });
  const sent = collect(bed.rpc.send({ IDs: [bed.id], data: { '/a': Buffer.from('a') } }));
  await begun;
  const [operation] = [...bed.core.context.view.operations].map(([, { value }]) => value);
  expect(operation).toMatchObject({ kind: 'send', what: '/a', workload: bed.id });
  const removed = collect(bed.rpc.removeWorkload({ IDs: [bed.id], force: true }));
  letGo();
  expect(await sent).toMatchObject([{ id: bed.id, path: '/a', error: '' }]);
  expect(await removed).toMatchObject([{ success: true }]);
});

test('an engine that lacks a verb is heard where the contract has a place for it', async () => {
  const { rpc, id } = bed;
  bed.machines.resolve('mock://n1').faults = (verb) => {
    throw new EruError('unsupported', `no ${verb}`);
  };
  const lacks = (verb: string): string => `no ${verb}`;
  expect(await collect(rpc.copy({ targets: { [id]: { paths: ['/a'] } } }))).toMatchObject([
    { error: lacks('copyFrom') },
  ]);
  expect(await collect(rpc.send({ IDs: [id], data: { '/a': Buffer.from('a') } }))).toMatchObject([
    { id, path: '/a', error: lacks('copyTo') },
  ]);
  expect(await collect(rpc.sendLargeFile(chunks([id], '/a', Buffer.from('a'))))).toMatchObject([
    { id, path: '/a', error: lacks('copyTo') },
  ]);
  expect(await collect(rpc.cacheImage({ podname: 'pod', images: ['a'] }))).toMatchObject([
    { image: 'a', success: false, message: lacks('imagePull') },
  ]);
  expect(await collect(rpc.removeImage({ podname: 'pod', images: ['a'], prune: true }))).toMatchObject([
    { image: 'a', success: false, messages: [lacks('imageRemove')] },
  ]);
  expect(await collect(rpc.listImage({ podname: 'pod' }))).toMatchObject([
    { nodename: '', images: [], err: lacks('imageList') },
  ]);
  expect(await failure(rpc.listNetworks({ podname: 'pod' }))).toEqual([1011, lacks('networkList')]);
  const network = { network: 'extra', target: id };
  expect(await failure(rpc.connectNetwork(network))).toEqual([1012, lacks('networkConnect')]);
  expect(await failure(rpc.disconnectNetwork(network))).toEqual([1013, lacks('networkDisconnect')]);
  expect(await failure(rpc.rawEngine({ id, op: 'echo' }))).toEqual([1057, `${lacks('raw')}: not implemented`]);
  expect(await collect(rpc.controlWorkload({ IDs: [id], type: 'suspend' }))).toMatchObject([
    { id, error: lacks('suspend') },
  ]);
  expect(await collect(rpc.logStream({ id }))).toMatchObject([{ id, error: lacks('logs') }]);
});
