import { pb } from '@eru/contract';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { parseBuildSpec } from '../spec/build-spec.ts';
import { id, lister, startFakeCore, workload, type FakeCore } from '../fake-core.suite.ts';

let core: FakeCore;
let folder: string;
let asked: pb.BuildImageOptions[];
/** What core answers. */
let answers: Partial<{ id: string; status: string; progress: string; stream: string; error: string; code: number }>[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'eru-image-build-'));
  asked = [];
  answers = [
    { stream: 'Step 1/2 : FROM busybox\n' },
    { id: 'aa', status: 'Pushing', progress: '[=>]' },
    { id: 'aa', status: 'Pushed' },
    { status: 'finished', progress: 'hub/app:1', stream: 'finished hub/app:1\n' },
  ];
  core = await startFakeCore({
    eru: { listWorkloads: lister(() => [workload('hello_web_aaaaaa', 'a')]) },
    core: {
      async *buildImage(request) {
        asked.push(request);
        for (const { code = 0, ...answer } of answers) yield { ...answer, errorDetail: { code: BigInt(code) } };
      },
    },
  });
});
afterEach(async () => {
  await core.close();
  await rm(folder, { recursive: true });
});

const spec = `
appname: guestbook
stages: [compile, pack]
builds:
  compile:
    base: node:{{ .NODE_MAJOR }}
    repo: git@example.com:team/guestbook.git
    envs: { PORT: 80 }
    cache: { /a: /b }
  pack:
    base: busybox
    stop_signal: SIGINT
`;

test('a build spec is sent, and what the builder says is shown', async () => {
  const file = path.join(folder, 'build.yaml');
  await writeFile(file, spec.replace('{{ .NODE_MAJOR }}', '22'));
  expect(await core.run(['image', 'build', '--name', 'app', '--tag', '1', '--platform', 'linux/amd64', file])).toEqual({
    code: 0,
    stdout: 'Step 1/2 : FROM busybox\nfinished hub/app:1\nbuild image app complete\n',
    stderr: 'aa Pushing [=>]\naa Pushed\n',
  });
  expect(asked[0]).toMatchObject({
    name: 'app',
    tags: ['1'],
    platform: 'linux/amd64',
    buildMethod: pb.BuildImageOptions_BuildMethod.SCM,
    builds: {
      stages: ['compile', 'pack'],
      builds: {
        compile: {
          base: 'node:22',
          repo: 'git@example.com:team/guestbook.git',
          envs: { PORT: '80' },
          cache: { '/a': '/b' },
        },
        pack: { base: 'busybox', stopSignal: 'SIGINT' },
      },
    },
  });
  await core.run(['image', 'build', '--name', 'app', '--stop-signal', 'SIGHUP', '--user', 'app', '--uid', '7', file]);
  expect(asked[1]).toMatchObject({
    tags: ['latest'],
    user: 'app',
    uid: 7,
    builds: { builds: { compile: { stopSignal: 'SIGHUP' } } },
  });
});

test('a folder is packed, a workload is named', async () => {
  await writeFile(path.join(folder, 'Dockerfile'), 'FROM busybox\n');
  await mkdir(path.join(folder, 'src'));
  expect(await core.run(['image', 'build', '--name', 'app', '--raw', folder, '-o', 'json'])).toMatchObject({
    code: 0,
    stdout: '{\n  "references": [\n    "hub/app:1"\n  ]\n}\n',
  });
  const names = execFileSync('tar', ['-t'], { input: asked[0]?.tar }).toString().trim().split('\n');
  expect(names.toSorted()).toEqual(['./', './Dockerfile', './src/']);
  expect(await core.run(['image', 'build', '--name', 'app', '--exist', 'aaaa', '-o', 'name'])).toMatchObject({
    stdout: 'hub/app:1\n',
  });
  expect(asked[1]).toMatchObject({ existId: id('a'), buildMethod: pb.BuildImageOptions_BuildMethod.EXIST });
});

test('an address that git is not asked for is told with its line', async () => {
  const file = path.join(folder, 'build.yaml');
  await writeFile(file, 'stages: [a]\nbuilds:\n  a:\n    base: b\n    repo: /srv/app.git\n');
  const { code, stderr } = await core.run(['image', 'build', '--name', 'app', file]);
  expect(code).toBe(2);
  expect(stderr).toContain('build.yaml:5:11: builds.a.repo: is no address of a repository; write git@');
  expect(asked).toEqual([]);
});

test.each([
  [7, 7],
  [-1, 1],
  [0, 1],
  [300, 1],
])('a build that fails with code %i ends with %i', async (code, exitCode) => {
  answers = [{ error: 'RUN false returned 1', code }];
  expect(await core.run(['image', 'build', '--name', 'app', '--exist', 'aaaa'])).toEqual({
    code: exitCode,
    stdout: '',
    stderr: 'Build failed: RUN false returned 1\n',
  });
});

test.each([
  [['--raw', '--exist', 'x'], '--raw and --exist: give one of them'],
  [['--raw', '/none'], '/none: --raw needs a folder with a Dockerfile in it'],
  [['--raw', os.tmpdir()], 'there is no Dockerfile in it'],
  [['--user', 'a', 'x'], '--user and --uid go together'],
  [['--user', 'a', '--uid', '0', 'x'], '--uid'],
  [['/none.yaml'], '/none.yaml'],
])('image build %j is refused', async (words, text) => {
  const { code, stderr } = await core.run(['image', 'build', '--name', 'app', ...words]);
  expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
  expect(asked).toEqual([]);
});

test('a spec is expanded, and complaints have their place', () => {
  expect(parseBuildSpec(spec, 'b.yaml', { NODE_MAJOR: '22' }).builds['compile']?.base).toBe('node:22');
  const complaint = (text: string): string => {
    try {
      parseBuildSpec(text, 'b.yaml', {});
      return 'nothing';
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(complaint(spec)).toBe('b.yaml:6: {{ .NODE_MAJOR }}: NODE_MAJOR is not set in the environment');
  expect(complaint('stages: ["{{ printf 1 }}"]')).toMatch(/^b\.yaml:1: \{\{ printf 1 \}\} is not understood/);
  expect(complaint('stages: [a]\nbuilds: { a: { bse: x } }')).toContain('did you mean base?');
  expect(complaint('stages: [a, b]\nbuilds: { a: { base: x } }')).toBe(
    'b.yaml:1:13: stages.1: "b" is not among the builds: a',
  );
  expect(complaint('builds: {}')).toContain('stages');
});
