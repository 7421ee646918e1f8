import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { access, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { buffer } from 'node:stream/consumers';
import { create, pb, type MessageInitShape } from '@eru/contract';
import { readTar } from '@eru/engines';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';

import { describeWith } from '../../../../tests/parts.ts';
import { archiveOf } from './archive.ts';
import { prepareContext } from './build-context.ts';
import { makeBuildFolder } from './build-folder.ts';
import { buildPlan } from './build-plan.ts';
import { noBuilds, type BuildSettings } from './build-settings.ts';
import { zipOf } from './zip.suite.ts';

describeWith(['git'], 'what a build is made of', () => {
  /** Where git finds what the addresses below `https://git.example/` mean. */
  let origin: string;
  let folder: string;
  let files: Server;
  let site: string;
  /** Of the last download. */
  let asked: IncomingHttpHeaders;
  const zips: Readonly<Record<string, Buffer>> = {
    '/good.zip': zipOf([
      { name: 'bin/', contents: '' },
      { name: 'bin/run', contents: 'echo run', mode: 0o100755 },
      { name: 'readme', contents: 'read' },
    ]),
    '/slip.zip': zipOf([{ name: '../../out', contents: 'x' }]),
    '/link.zip': zipOf([{ name: 'link', contents: '/etc', mode: 0o120777 }]),
    '/cut.zip': zipOf([{ name: 'a', contents: 'x' }]).subarray(0, 40),
  };

  beforeAll(async () => {
    origin = await mkdtemp(path.join(tmpdir(), 'eru-origin-'));
    const config = {
      [`url.file://${origin}/.insteadOf`]: 'https://git.example/',
      'protocol.file.allow': 'always',
      'user.name': 'a',
      'user.email': 'a@b',
    };
    for (const [index, [key, value]] of Object.entries(config).entries()) {
      vi.stubEnv(`GIT_CONFIG_KEY_${index}`, key);
      vi.stubEnv(`GIT_CONFIG_VALUE_${index}`, value);
    }
    vi.stubEnv('GIT_CONFIG_COUNT', String(Object.keys(config).length));
    const git = (repository: string, ...args: string[]): void =>
      void execFileSync('git', ['-C', path.join(origin, repository), ...args], { stdio: 'pipe' });
    for (const name of ['part.git', 'app.git']) {
      await mkdir(path.join(origin, name));
      git(name, 'init', '--quiet', '-b', 'main');
      await writeFile(path.join(origin, name, 'name'), name);
      git(name, 'add', '.');
      git(name, 'commit', '--quiet', '-m', 'first');
    }
    git('app.git', 'tag', 'v1');
    git('app.git', 'submodule', '--quiet', 'add', 'https://git.example/part.git', 'part');
    git('app.git', 'commit', '--quiet', '-m', 'with a part');
    git('app.git', 'checkout', '--quiet', '-b', 'team/other');
    await writeFile(path.join(origin, 'app.git', 'name'), 'other');
    git('app.git', 'commit', '--quiet', '-am', 'other');
    git('app.git', 'checkout', '--quiet', 'main');
    files = createServer((request, response) => {
      asked = request.headers;
      const zip = zips[request.url ?? ''];
      response.writeHead(zip === undefined ? 404 : 200).end(zip);
    });
    await once(files.listen(0, '127.0.0.1'), 'listening');
    site = `http://127.0.0.1:${(files.address() as AddressInfo).port}`;
  });

  afterAll(async () => {
    vi.unstubAllEnvs();
    files.close();
    await rm(origin, { recursive: true });
  });

  beforeEach(async () => {
    folder = await makeBuildFolder();
  });

  afterEach(() => rm(folder, { recursive: true }));

  async function prepare(
    build: MessageInitShape<typeof pb.BuildSchema>,
    settings: Partial<BuildSettings> = {},
  ): Promise<void> {
    const { plan } = buildPlan(
      create(pb.BuildsSchema, { stages: ['s'], builds: { s: { base: 'busybox', ...build } } }),
    );
    await prepareContext(
      folder,
      { plan },
      { ...noBuilds, cloneTimeoutMs: 30_000, ...settings },
      AbortSignal.timeout(60_000),
    );
  }

  const inside = (...parts: string[]): string => path.join(folder, 's', ...parts);
  const app = { repo: 'https://git.example/app.git' };

  test.each([
    ['', 'app.git'],
    ['HEAD', 'app.git'],
    ['v1', 'app.git'],
    ['team/other', 'other'],
  ])('version %j of a repository', async (version, name) => {
    await prepare({ ...app, version });
    expect(await readFile(inside('app', 'name'), 'utf8')).toBe(name);
    expect(await readFile(path.join(folder, 'Dockerfile'), 'utf8')).toBe('FROM busybox as s\nADD ["s/app","."]\n');
    expect(await readdir(inside('app', version === 'v1' ? '.git' : 'part'))).not.toContain('name');
  });

  test('submodules, without any history', async () => {
    await prepare({ ...app, submodule: true, security: true });
    expect(await readFile(inside('app', 'part', 'name'), 'utf8')).toBe('part.git');
    expect(await readdir(inside('app'))).not.toContain('.git');
    expect(await readdir(inside('app', 'part'))).toEqual(['name']);
  });

  test('what git cannot do is told with its word', async () => {
    await expect(prepare({ ...app, version: 'v9' })).rejects.toThrow(
      'version: "v9": https://git.example/app.git has no such branch, tag or commit',
    );
    await expect(prepare({ repo: 'https://git.example/none.git' })).rejects.toThrow(
      /git clone ended with 128: .*none/s,
    );
  });

  test('artifacts take the place of a clone, with their modes', async () => {
    await prepare({ ...app, artifacts: { a: `${site}/good.zip` } }, { scm: 'github', token: 't' });
    expect((await readdir(inside('app'))).toSorted()).toEqual(['bin', 'readme']);
    await access(inside('app', 'bin', 'run'), 1);
    expect(asked.authorization).toBe('token t');
    await prepare({ artifacts: { a: `${site}/good.zip` } }, { scm: 'gitlab', token: 't' });
    expect(asked['private-token']).toBe('t');
    expect(await readFile(inside('artifacts', 'readme'), 'utf8')).toBe('read');
  });

  test.each([
    ['/none.zip', 'answered 404'],
    ['/slip.zip', 'invalid relative path'],
    ['/link.zip', 'link is a symbolic link'],
    ['/cut.zip', 'is no zip file'],
  ])('artifact %s is refused', async (file, text) => {
    await expect(prepare({ artifacts: { a: `${site}${file}` } })).rejects.toThrow(text);
    expect(await readdir(inside('artifacts'))).toEqual([]);
  });

  test('a folder as a tar stream, owned by root', async () => {
    await mkdir(path.join(folder, 'x'));
    await writeFile(path.join(folder, 'x', 'y'), 'z'.repeat(100_000), { mode: 0o750 });
    const archive = await buffer(archiveOf(folder, AbortSignal.timeout(10_000)));
    expect(readTar(archive).get('./x/y')).toMatchObject({ mode: 0o750, uid: 0, gid: 0 });
    await expect(buffer(archiveOf(path.join(folder, 'none'), AbortSignal.timeout(10_000)))).rejects.toThrow(
      /tar ended with 2/,
    );
  });

  test('what a core that died has left is removed by the next build', async () => {
    const [left, kept] = [
      path.join(tmpdir(), 'eru-build-999999999-x'),
      path.join(tmpdir(), `eru-build-${process.pid}-x`),
    ];
    for (const one of [left, kept]) await mkdir(one, { recursive: true });
    await rm(await makeBuildFolder(), { recursive: true });
    await expect(access(left)).rejects.toThrow();
    await access(kept);
    await rm(kept, { recursive: true });
  });
});
