import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, silentLogger, type RunResult } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { serveMailbox, type MailboxAnswer } from '../netd/mailbox.ts';
import { runtimeScript } from './runtime-script.ts';

let folder: string;
let calls: string[];
let answer: (text: string) => Promise<MailboxAnswer>;
let mailbox: { close(): Promise<void> } | undefined;
const at = (...parts: string[]): string => path.join(folder, ...parts);

/** It writes its words down, and ends as `code` says. */
const runtime = '#!/bin/sh\necho "$*" >>"${0%/*}/ran"\ncat >/dev/null\nexit $(cat "${0%/*}/code")\n';

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-it is-'));
  for (const name of ['declared', 'netns', 'docker', 'bundle']) await mkdir(at(name));
  await writeFile(at('runc'), runtime, { mode: 0o755 });
  await writeFile(at('code'), '0');
  await writeFile(at('ran'), '');
  await install();
  await writeFile(at('bundle/config.json'), '{"annotations":{}}');
  calls = [];
  answer = () => Promise.resolve({ code: 0, output: 'ours' });
  mailbox = await serveMailbox(at('calls'), (text) => (calls.push(text), answer(text)), silentLogger);
});
afterEach(async () => {
  await mailbox?.close();
  mailbox = undefined;
  await rm(folder, { recursive: true, force: true });
});

const settings = { script: '/eru-oci', all: false, trustImages: false };
async function install(more: object = {}): Promise<void> {
  const known = {
    runtime: at('runc'),
    calls: at('calls'),
    declared: at('declared'),
    namespaces: at('netns'),
    dockerContainers: at('docker'),
    settings: { ...settings, ...more },
  };
  await writeFile(at('eru-oci'), runtimeScript(known));
  await chmod(at('eru-oci'), 0o755);
}
const call = (...words: string[]): Promise<RunResult> => run(at('eru-oci'), words, { input: '' });
const words = (...rest: string[]): string[] => [
  '--root',
  '/run/create',
  '--log',
  at('log.json'),
  '--log-format',
  'json',
  ...rest,
];
const creating = (): string[] => words('create', '--bundle', at('bundle'), '--pid-file', '/p', 'c1');
const ran = async (): Promise<string[]> => (await readFile(at('ran'), 'utf8')).split('\n').slice(0, -1);

it('hands on what is not ours, word by word, and asks nobody', async () => {
  const all = [
    ['--version'],
    [],
    words('start', 'c1'),
    words('exec', '--process', '/p', 'c1', 'create'),
    words('delete', '--force', 'c1'),
    creating(),
    words('create', '--bundle', at('bundle'), '../c1'),
    ['oci', '--config', '/etc/docker/cni.yaml', '--', 'state', 'c1'],
  ];
  await writeFile(at('code'), '7');
  for (const one of all) expect((await call(...one)).code).toBe(7);
  expect(await ran()).toEqual(all.map((one) => one.slice(one[0] === 'oci' ? 4 : 0).join(' ')));
  expect(calls).toEqual([]);
});

it('asks for a container that is declared, or whose annotations or labels ask, before it is created', async () => {
  await writeFile(at('declared/c1'), '');
  await call(...creating());
  expect(calls).toEqual([`create\nc1\n${at('bundle')}\n${JSON.stringify(settings)}\n`]);
  await rm(at('declared/c1'));
  await call(...creating());
  await writeFile(at('bundle/config.json'), '{"annotations":{"eru.network/name":"web"}}');
  await call(...creating());
  await writeFile(at('bundle/config.json'), '{}');
  await mkdir(at('docker/c1'));
  await writeFile(at('docker/c1/config.v2.json'), '{"Labels":{"fixed-ip":""}}');
  answer = () => Promise.resolve({ code: 0, output: 'pass' });
  await call(...creating());
  expect(calls).toHaveLength(3);
  expect(await ran()).toEqual(Array.from({ length: 4 }, () => creating().join(' ')));
});

it('lets no container start that is refused, and says why where the engine looks; others start without a daemon', async () => {
  await writeFile(at('declared/c1'), '');
  answer = () => Promise.resolve({ code: 1, output: '{"level":"error","msg":"eru: the \\"pool\\" is full"}' });
  expect(await call(...creating())).toMatchObject({ code: 1, stderr: expect.stringContaining('is full') });
  expect(JSON.parse(await readFile(at('log.json'), 'utf8'))).toEqual({
    level: 'error',
    msg: 'eru: the "pool" is full',
  });
  await mailbox?.close();
  mailbox = undefined;
  await rm(at('log.json'));
  expect(await call(...creating())).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('no network daemon answers'),
  });
  expect(JSON.parse(await readFile(at('log.json'), 'utf8'))).toMatchObject({ level: 'error' });
  expect(await ran()).toEqual([]);
  await rm(at('declared/c1'));
  await mkdir(at('docker/c1'));
  await writeFile(at('docker/c1/config.v2.json'), '{"Labels":{"fixed-ip":"FALSE"}}');
  expect(await call(...creating())).toMatchObject({ code: 0 });
  await writeFile(at('docker/c1/config.v2.json'), '{"Labels":{"fixed-ip":"1"}}');
  expect(await call(...creating())).toMatchObject({ code: 1 });
  expect(await ran()).toEqual([creating().join(' ')]);
});

it('deletes by the runtime first, keeps its exit code, and tells it; also of what could not be created', async () => {
  await writeFile(at('netns/c1'), '');
  answer = () => Promise.resolve({ code: 1, output: '{}' });
  expect(await call(...words('delete', 'c1'))).toMatchObject({ code: 0 });
  await writeFile(at('code'), '3');
  expect(await call(...words('delete', 'c1'))).toMatchObject({ code: 3 });
  await writeFile(at('declared/c1'), '');
  answer = (text) => Promise.resolve({ code: 0, output: text.startsWith('create') ? 'ours' : 'done' });
  expect(await call(...creating())).toMatchObject({ code: 3 });
  expect(calls.map((text) => text.split('\n').slice(0, 3).join(' '))).toEqual([
    'delete c1 0',
    'delete c1 3',
    `create c1 ${at('bundle')}`,
    'delete c1 3',
  ]);
});

it('waits for no daemon that has died, and hears of the next one', async () => {
  await writeFile(at('declared/c1'), '');
  let waiting: Promise<RunResult> | undefined;
  await new Promise<void>((resolve) => {
    answer = () => {
      resolve();
      return new Promise(() => {});
    };
    waiting = call(...creating());
  });
  const second = await serveMailbox(at('calls'), () => Promise.resolve({ code: 0, output: 'ours' }), silentLogger);
  expect(await waiting).toMatchObject({ code: 1, stderr: expect.stringContaining('did not answer') });
  await second.close();
  mailbox = undefined;
});

it('passes what a hook is told', async () => {
  const { code } = await run(at('eru-oci'), ['eru-hook', 'ADD', 'c1'], { input: '{"pid":7,\n"bundle":"/b"}' });
  expect([code, calls]).toEqual([0, [`ADD\nc1\n${JSON.stringify(settings)}\n{"pid":7,\n"bundle":"/b"}\n`]]);
});

it('asks for each container where all are ours, and for what images say where they are trusted', async () => {
  await writeFile(at('bundle/config.json'), '{"process":{"env":["IPPOOL=web"]}}');
  await call(...creating());
  expect(calls).toEqual([]);
  await install({ trustImages: true });
  await call(...creating());
  expect(calls).toHaveLength(1);
  await writeFile(at('bundle/config.json'), '{}');
  await install({ all: true });
  await call(...creating());
  expect(calls).toHaveLength(2);
});
