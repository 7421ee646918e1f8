import type { pb } from '@eru/contract';
import { EruError } from '@eru/kit';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import type { FakeCore } from './fake-core.suite.ts';
import { id, lister, startFakeCore, workload } from './fake-core.suite.ts';

const [first, second] = [workload('hello_web_aaaaaa', 'a'), workload('hello_web_bbbbbb', 'b')];

let core: FakeCore;
let folder: string;
/** What was copied in last, and is copied out. */
let archive: Buffer;
let copies: { id: string; path: string }[];
let sent: pb.FileOptions[];
let empties: pb.SendOptions[];
let asked: unknown[];

beforeEach(async () => {
  [archive, copies, sent, empties, asked] = [Buffer.alloc(0), [], [], [], []];
  folder = await mkdtemp(path.join(os.tmpdir(), 'eru-supply-'));
  core = await startFakeCore({
    core: {
      async *sendLargeFile(requests) {
        for await (const chunk of requests) sent.push(chunk);
        yield { id: id('a'), path: '/x' };
        yield { id: id('b'), path: '/x', error: 'fell behind' };
      },
      async *send(request) {
        empties.push(request);
        for (const one of request.IDs.slice(1)) yield { id: one, error: 'no' };
      },
      listNetworks: async (request) => {
        asked.push({ ...request });
        return { networks: [{ name: 'bridge', subnets: ['172.17.0.0/16'] }, { name: 'host' }] };
      },
      connectNetwork: async (request) => {
        if (request.target === id('b')) throw new EruError('exists', 'it is there already');
        return { name: request.network, subnets: [request.ipv4 || '172.17.0.2'] };
      },
      disconnectNetwork: async (request) => {
        asked.push(request.force);
        return {};
      },
      listPods: async () => ({ pods: [{ name: 'only' }] }),
      async *listImage() {
        yield { nodename: 'n2', images: [{ id: 'sha256:bbbbbbbbbbbbbbbb', tags: ['b:1'] }] };
        yield { nodename: 'n1', images: [{ id: 'sha256:aaaaaaaaaaaaaaaa', tags: ['a:1', 'a:2'] }] };
        yield { err: 'n3 does not answer' };
      },
      async *cacheImage(request) {
        asked.push([request.podname, request.nodenames, request.images]);
        yield { nodename: 'n1', image: 'a', success: true };
        yield { nodename: 'n2', image: 'a', success: false, message: 'no route' };
      },
      async *removeImage(request) {
        asked.push([request.podname, request.images, request.prune]);
        yield { image: 'a', success: true, messages: ['Clean: a', 'Clean: sha256:1'] };
      },
    },
    eru: {
      listWorkloads: lister(() => [first, second]),
      copyIn: async (requests) => {
        const parts: Uint8Array[] = [];
        for await (const { request } of requests) {
          if (request.case === 'open') copies.push(request.value);
          else if (request.case === 'data') parts.push(request.value);
        }
        archive = Buffer.concat(parts);
        return {};
      },
      async *copyOut(request) {
        copies.push(request);
        if (request.path === '/none') throw new EruError('not_found', '/none: no such file or folder');
        for (let at = 0; at < archive.length; at += 1000) yield { data: archive.subarray(at, at + 1000) };
      },
      async *attach(requests) {
        yield { response: { case: 'started', value: {} } };
        for await (const { request } of requests) {
          if (request.case === 'open')
            yield { response: { case: 'stdout', value: Buffer.from(request.value.id[0] ?? '') } };
          else if (request.case === 'stdin') yield { response: { case: 'stderr', value: request.value } };
          else break;
        }
        yield { response: { case: 'exitCode', value: 7 } };
      },
    },
  });
});
afterEach(async () => {
  await core.close();
  await rm(folder, { recursive: true });
});

const names = (): string[] =>
  execFileSync('tar', ['-t'], { input: archive })
    .toString()
    .trim()
    .split('\n')
    .map((name) => path.normalize(name));

test('cp takes a folder in under the name of the target, links as links, and gives it back', async () => {
  const source = path.join(folder, 'source');
  await mkdir(path.join(source, 'sub'), { recursive: true });
  await writeFile(path.join(source, 'sub/file'), 'contents');
  await symlink('sub/file', path.join(source, 'link'));
  expect(await core.run(['cp', source, 'hello_web_aaaaaa:/srv/data'])).toMatchObject({ code: 0, stdout: '' });
  expect(copies).toMatchObject([{ id: id('a'), path: '/srv' }]);
  expect(names()).toEqual(expect.arrayContaining(['data/sub/file', 'data/link']));

  const target = path.join(folder, 'target');
  const { code, stderr } = await core.run(['cp', 'aaaa:/srv/data', target]);
  expect([code, stderr]).toEqual([0, `aaaa:/srv/data copied to ${target}\n`]);
  expect(await readFile(path.join(target, 'link'), 'utf8')).toBe('contents');
  await core.run(['cp', 'aaaa:/srv/data', target]);
  expect((await readdir(target)).toSorted()).toEqual(['data', 'link', 'sub']);
  expect((await readdir(folder)).toSorted()).toEqual(['source', 'target']);
});

test('cp puts a file into a folder, and gives it another name here', async () => {
  const source = path.join(folder, 'a.conf');
  await writeFile(source, 'a = 1');
  await core.run(['cp', source, 'hello_web_bbbbbb:/etc/']);
  expect(copies).toMatchObject([{ id: id('b'), path: '/etc/' }]);
  expect(names()).toEqual(['a.conf']);
  await core.run(['cp', 'hello_web_bbbbbb:/etc/a.conf', path.join(folder, 'b.conf')]);
  expect(await readFile(path.join(folder, 'b.conf'), 'utf8')).toBe('a = 1');
});

test('cp refuses what cannot be meant, and leaves nothing behind', async () => {
  const refused = async (...args: string[]): Promise<[number, string]> => {
    const { code, stderr } = await core.run(['cp', ...args]);
    return [code, stderr];
  };
  expect(await refused('a', 'b')).toEqual([2, expect.stringContaining('one of the two must be WORKLOAD:')]);
  expect(await refused('aaaa:/a', 'bbbb:/b')).toEqual([2, expect.stringContaining('one of the two')]);
  expect(await refused(path.join(folder, 'x'), 'aaaa:/a')).toEqual([2, expect.stringContaining('no such file')]);
  expect(await refused('aaaa:/a', path.join(folder, 'x/y'))).toEqual([2, expect.stringContaining('no such folder')]);
  expect(await refused('aaaa:/none', path.join(folder, 'x'))).toEqual([4, 'eru: /none: no such file or folder\n']);
  expect(await refused('cccc:/a', folder)).toEqual([4, expect.stringContaining('cccc')]);
  archive = Buffer.alloc(2000, 'no tar');
  expect((await refused('aaaa:/a', folder))[0]).toBe(1);
  expect(await readdir(folder)).toEqual([]);
});

test('with - a tar stream goes through', async () => {
  expect((await core.run(['cp', '-', 'aaaa:/srv'], { stdin: 'any bytes' })).code).toBe(0);
  expect(copies).toMatchObject([{ path: '/srv' }]);
  expect((await core.run(['cp', 'aaaa:/srv', '-'])).stdout).toBe('any bytes');
});

test('send gives one file to many; one that fails makes the exit code 1', async () => {
  const file = path.join(folder, 'run.sh');
  await writeFile(file, Buffer.alloc(600_000, 'x'));
  await chmod(file, 0o750);
  const { code, stderr } = await core.run(['send', file, 'aaaa', 'hello_web_bbbbbb:/opt/', '--owner', '7:8']);
  expect([code, stderr]).toEqual([1, 'hello_web_aaaaaa has /opt/run.sh\nhello_web_bbbbbb failed: fell behind\n']);
  expect(sent.length).toBeGreaterThan(1);
  for (const chunk of sent)
    expect(chunk).toMatchObject({
      ids: [id('a'), id('b')],
      dst: '/opt/run.sh',
      size: 600_000n,
      mode: { mode: 0o750n },
      owner: { uid: 7, gid: 8 },
    });
  expect(Buffer.concat(sent.map(({ chunk }) => chunk))).toHaveLength(600_000);
});

test('send of an empty file, and what it refuses', async () => {
  const file = path.join(folder, 'empty');
  await writeFile(file, '');
  const { code, stderr } = await core.run(['send', file, 'aaaa', 'bbbb:/e', '--mode', '600']);
  expect([code, stderr]).toEqual([1, 'hello_web_aaaaaa has /e\nhello_web_bbbbbb failed: no\n']);
  expect(empties).toMatchObject([{ IDs: [id('a'), id('b')], modes: { '/e': { mode: 0o600n } } }]);
  expect(await core.run(['send', file, 'aaaa'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('missing path'),
  });
  expect(await core.run(['send', file, 'aaaa:/a', 'bbbb:/b'])).toMatchObject({ code: 2 });
  expect(await core.run(['send', folder, 'aaaa:/a'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('eru cp'),
  });
  expect(await core.run(['send', file, 'aaaa:/a', '--mode', '9'])).toMatchObject({ code: 2 });
});

test('network ls, connect and disconnect', async () => {
  expect((await core.run(['network', 'ls', '--pod', 'p', '--driver', 'd'])).stdout).toBe(
    'NAME     SUBNETS\nbridge   172.17.0.0/16\nhost\n',
  );
  expect(asked).toMatchObject([{ podname: 'p', driver: 'd' }]);
  expect(await core.run(['network', 'connect', 'bridge', 'aaaa', 'bbbb'])).toMatchObject({
    code: 1,
    stderr: 'hello_web_aaaaaa is on bridge\n  at 172.17.0.2\nhello_web_bbbbbb failed: it is there already\n',
  });
  expect(await core.run(['network', 'connect', 'bridge', 'aaaa', 'bbbb', '--ipv4', '1.2.3.4'])).toMatchObject({
    code: 2,
  });
  expect(await core.run(['network', 'disconnect', 'bridge', 'aaaa', '--force'])).toMatchObject({
    code: 0,
    stderr: 'hello_web_aaaaaa is off bridge\n',
  });
  expect(asked.at(-1)).toBe(true);
});

test('image ls, cache and rm', async () => {
  const listed = await core.run(['image', 'ls']);
  expect([listed.code, listed.stderr]).toEqual([1, 'n3 does not answer\n']);
  expect(listed.stdout).toBe(
    'NODE   IMAGE          TAGS\nn1     aaaaaaaaaaaa   a:1\n                      a:2\nn2     bbbbbbbbbbbb   b:1\n',
  );
  expect(await core.run(['image', 'cache', 'a', '--node', 'n1'])).toMatchObject({
    code: 1,
    stderr: 'n1: a is there\nn2: a failed: no route\n',
  });
  expect(asked).toEqual([['only', ['n1'], ['a']]]);
  expect(await core.run(['image', 'rm', 'a', '--pod', 'p', '--prune'])).toMatchObject({
    code: 0,
    stderr: 'a: a, sha256:1 removed\n',
  });
  expect(asked.at(-1)).toEqual(['p', ['a'], true]);
});

test('attach shows what the main process prints, and ends with its exit code', async () => {
  expect(await core.run(['attach', 'aaaa', '-i'], { stdin: 'typed' })).toEqual({
    code: 7,
    stdout: 'a',
    stderr: 'typed',
  });
});
