import { create, pb } from '@eru/contract';
import type { MessageInitShape } from '@eru/contract';
import { expect, test } from 'vitest';

import { buildPlan, type BuildPlan } from './build-plan.ts';
import { dockerfile } from './dockerfile.ts';

function planOf(builds: MessageInitShape<typeof pb.BuildsSchema>): BuildPlan {
  return buildPlan(create(pb.BuildsSchema, builds)).plan;
}

const twoStages = planOf({
  stages: ['compile', 'pack'],
  builds: {
    compile: {
      base: 'node:22-alpine',
      repo: 'git@example.com:team/guestbook.git',
      dir: '/src',
      args: { B: '2', A: 'say "hi"' },
      envs: { PATH: '/tools:$PATH' },
      commands: ['npm ci', 'npm run build\nnpm prune'],
      cache: { '/src/dist': '/app/dist' },
    },
    pack: {
      base: 'node:22-alpine',
      labels: { stage: 'final' },
      stopSignal: 'SIGINT',
      commands: ['chown -R node /app'],
    },
  },
});

test('a stage is a FROM, in the documented order of lines', () => {
  expect(dockerfile(twoStages)).toBe(`FROM node:22-alpine as compile
ARG A="say \\"hi\\""
ARG B="2"
ENV PATH="/tools:$PATH"
WORKDIR /src
ADD ["compile/guestbook","."]
RUN npm ci
RUN ["/bin/sh","-c","npm run build\\nnpm prune"]

FROM node:22-alpine as pack
LABEL "stage"="final"
STOPSIGNAL SIGINT
COPY --from=compile ["/src/dist","/app/dist"]
RUN chown -R node /app
`);
});

test('a user is made in the last stage and runs the image', () => {
  const lines = dockerfile(twoStages, { name: 'app', uid: 1000 }).trimEnd().split('\n');
  expect(lines.slice(-4)).toEqual([
    "RUN echo 'app::1000:1000:app:/dev/null:/sbin/nologin' >> /etc/passwd",
    "RUN echo 'app:x:1000:' >> /etc/group",
    "RUN echo 'app:!::0:::::' >> /etc/shadow",
    'USER app',
  ]);
});

test('artifacts stand in place of the repository, or alone', () => {
  const artifacts = { a: 'https://example.com/a.zip' };
  const sources = (build: MessageInitShape<typeof pb.BuildSchema>): unknown =>
    planOf({ stages: ['s'], builds: { s: { base: 'b', ...build } } })[0]?.source;
  expect(sources({ artifacts })).toEqual({ folder: 's/artifacts', artifacts: [artifacts.a] });
  expect(sources({ repo: 'https://example.com/t/x.git', version: 'v1', submodule: true, security: true })).toEqual({
    folder: 's/x',
    artifacts: [],
    git: { url: 'https://example.com/t/x.git', version: 'v1', submodules: true, withoutHistory: true },
  });
  expect(sources({})).toBeUndefined();
});

test.each(['toString', 'constructor', '__proto__'])('a stage called %s is none that was given', (name) => {
  expect(() => planOf({ stages: [name], builds: {} })).toThrow('no build spec');
});

test('a stage without a build is skipped, and told', () => {
  const { plan, unknown } = buildPlan(create(pb.BuildsSchema, { stages: ['x', 'a'], builds: { a: { base: 'b' } } }));
  expect([plan.map(({ name }) => name), unknown]).toEqual([['a'], ['x']]);
});

const repository = (repo: string): MessageInitShape<typeof pb.BuildSchema> => ({ base: 'b', repo });

test.each([
  [{ base: '' }, 'builds.a.base: ""'],
  [{ base: 'b\nRUN evil' }, 'builds.a.base: "b\\nRUN evil"'],
  [{ base: 'b', dir: '/x\nUSER root' }, 'builds.a.dir: "/x\\nUSER root": must be one line'],
  [{ base: 'b', envs: { A: '1\nUSER root' } }, 'builds.a.envs.A: "1\\nUSER root": must be one line'],
  [{ base: 'b', labels: { 'a\nb': '1' } }, 'builds.a.labels: "a\\nb": must be one line'],
  [{ ...repository('https://e.com/x.git'), version: '--upload-pack=x' }, 'builds.a.version: "--upload-pack=x"'],
  [repository('ext::sh -c evil git@x.git'), 'ext::sh -c evil git@x.git: invalid git url format'],
  [repository('--config=git@x.git'), 'invalid git url format'],
  [repository('/srv/repositories/x.git'), 'invalid git url format'],
  [repository('https://example.com/x'), 'invalid git url format'],
  [repository('https://example.com/...git'), 'invalid git url format'],
])('%o is refused', (build, text) => {
  expect(() => planOf({ stages: ['a'], builds: { a: build } })).toThrow(text);
});

test('names of stages are checked', () => {
  expect(() => planOf({ stages: ['a b'], builds: { 'a b': { base: 'b' } } })).toThrow('stages: "a b"');
  expect(() => planOf({ stages: ['a', 'a'], builds: { a: { base: 'b' } } })).toThrow('stages: a is there twice');
});
