import { readTar, writeTar } from '@eru/engines';
import { isEruError } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { startBed, type Bed } from '../core-rpc/contract-bed.suite.ts';
import { collect, text } from '../harness.suite.ts';

let bed: Bed;
beforeEach(async () => {
  bed = await startBed({ limits: { transferIdleMs: 200 } });
});
afterEach(() => bed.close());

const file = { contents: Buffer.alloc(200_000, 'x'), mode: 0o600, uid: 1, gid: 2 };

async function* copyIn(id: string, path: string, archive: Uint8Array): AsyncGenerator<object> {
  yield { request: { case: 'open', value: { id, path } } };
  for (let at = 0; at < archive.length; at += 60_000)
    yield { request: { case: 'data', value: archive.subarray(at, at + 60_000) } };
}

async function codeOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'ok',
    (error: unknown) => (isEruError(error) ? error.code : error),
  );
}

test('a whole archive goes in under a claim, and a folder comes out', async () => {
  const { eru, id } = bed;
  const archive = writeTar([
    ['a', file],
    ['sub/b', { ...file, contents: Buffer.from('b') }],
  ]);
  const begun = new Promise((resolve) => {
    bed.machines.resolve('mock://n1').faults = (verb) => {
      if (verb === 'copyTo') resolve([...bed.core.context.view.operations][0]?.[1].value);
    };
  });
  await eru.copyIn(copyIn(id, '/srv', archive));
  expect(await begun).toMatchObject({ kind: 'send', what: '/srv', workload: id });
  expect(bed.core.context.view.operations.size).toBe(0);
  const pieces = (await collect(eru.copyOut({ id, path: '/srv' }))).map(({ data }) => data);
  const files = readTar(Buffer.concat(pieces));
  expect([...files.keys()].toSorted()).toEqual(['srv/a', 'srv/sub/b']);
  expect(text(files.get('srv/sub/b')?.contents)).toBe('b');
  expect(files.get('srv/a')).toMatchObject({ mode: 0o600, uid: 1, gid: 2 });
});

test('what cannot be copied', async () => {
  const { eru, id } = bed;
  expect(await codeOf(eru.copyIn(copyIn('x', '/srv', writeTar([]))))).toBe('not_found');
  expect(await codeOf(eru.copyIn(copyIn(id, '/srv', Buffer.alloc(2000, 'no tar'))))).toBe('invalid');
  expect(await codeOf(eru.copyIn(copyIn(id, 'relative', writeTar([]))))).toBe('invalid');
  const nothing = async function* (): AsyncGenerator<object> {};
  expect(await codeOf(eru.copyIn(nothing()))).toBe('invalid');
  expect(await codeOf(collect(eru.copyOut({ id: 'x', path: '/srv' })))).toBe('not_found');
  expect(await codeOf(collect(eru.copyOut({ id, path: '/none' })))).toBe('not_found');
  expect(bed.core.context.view.claims.size).toBe(0);
});

test('an engine that takes nothing is given up, and the workload is free again', async () => {
  const { eru, id } = bed;
  bed.machines.resolve('mock://n1').faults = (verb) => (verb === 'copyTo' ? new Promise(() => {}) : undefined);
  const archive = writeTar([['a', { ...file, contents: Buffer.alloc(8 * 2 ** 20) }]]);
  await expect(eru.copyIn(copyIn(id, '/srv', archive))).rejects.toThrow('took nothing for 0.2 s');
  expect(bed.core.context.view.claims.size).toBe(0);
});

test('a client that sends nothing more is left, and the workload is free again', async () => {
  const { eru, rpc, id } = bed;
  const quiet = new Promise<never>(() => {});
  const archive = writeTar([['a', file]]);
  const silent = async function* (): AsyncGenerator<object> {
    yield* copyIn(id, '/srv', archive.subarray(0, 70_000));
    await quiet;
  };
  await expect(eru.copyIn(silent())).rejects.toMatchObject({
    code: 'timeout',
    message: expect.stringContaining('the client has sent nothing for 0.2 s'),
  });
  const chunk = { ids: [id], dst: '/a', size: 200_000n, chunk: file.contents.subarray(0, 70_000) };
  const large = async function* (): AsyncGenerator<typeof chunk> {
    yield chunk;
    await quiet;
  };
  await expect(collect(rpc.sendLargeFile(large()))).rejects.toThrow('the client has sent nothing for 0.2 s');
  await bed.core.context.view.until(
    () => (bed.core.context.view.claims.size === 0 ? true : undefined),
    AbortSignal.timeout(10_000),
  );
  expect(await codeOf(eru.copyIn(copyIn(id, '/srv', archive)))).toBe('ok');
});

test('attach gives what the main process prints from now on, until the client leaves', async () => {
  const { eru, id } = bed;
  let leave = (): void => {};
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const requests = async function* (): AsyncGenerator<object> {
    yield { request: { case: 'open', value: { id } } };
    await left;
  };
  const answers = eru.attach(requests());
  expect((await answers.next()).value).toMatchObject({ response: { case: 'started' } });
  await bed.machines.resolve('mock://n1').print(id, 'more\n');
  const printed = (await answers.next()).value?.response;
  expect(printed?.case === 'stdout' && text(printed.value)).toBe('more\n');
  await answers.return?.();
  leave();
  expect(bed.machines.resolve('mock://n1').workloads()[0]?.state).toBe('running');
  expect(await codeOf(collect(eru.attach(copyIn('x', '', new Uint8Array()))))).toBe('not_found');
});
