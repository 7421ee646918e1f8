import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { retry, run } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { answers, command, EruUnderTest, identity, traces, type Listed, type Traces } from './eru.ts';
import { describeWith } from './parts.ts';

const hello = path.join(import.meta.dirname, '../examples/hello/app.yaml');

/** The path of a new user, in order: each step stands on the one before. */
describeWith([], 'the first day with Eru', () => {
  let eru: EruUnderTest;
  let before: Traces;
  let first: Listed[];
  let folder: string;

  beforeAll(async () => {
    before = await traces();
    folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-specs-'));
    eru = await EruUnderTest.create();
  });
  afterAll(async () => {
    await eru.close();
    await rm(folder, { recursive: true, force: true });
  });

  async function spec(text: string): Promise<string> {
    const file = path.join(folder, 'app.yaml');
    await writeFile(file, text);
    return file;
  }

  it('one command brings up three healthy services that answer', { timeout: 120_000 }, async () => {
    const { code, stderr } = await eru.up('--example', hello);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    first = await eru.ps();
    expect(first).toHaveLength(3);
    for (const workload of first) {
      expect(workload).toMatchObject({
        app: 'hello',
        entrypoint: 'web',
        engine: 'process',
        running: true,
        healthy: true,
        restarts: 0,
      });
      expect(workload.id).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(await answers(first)).toEqual([200, 200, 200]);
  });

  it(
    'kill -9 of all of Eru: the services answer on, and the next Eru knows them again, with no fourth',
    { timeout: 120_000 },
    async () => {
      process.kill(await eru.pid(), 'SIGKILL');
      expect(await answers(first)).toEqual([200, 200, 200]);
      expect((await eru.up('--example', hello)).code).toBe(0);
      await retry(async () => expect(identity(await eru.ps())).toEqual(identity(first)), {
        attempts: 40,
        baseMs: 250,
        maxMs: 500,
      });
    },
  );

  it('exec runs a command inside, with its exit code, and ends with its input', async () => {
    const [{ name }] = first as [Listed];
    expect(await eru.exec([name, 'sh', '-c', 'echo out; echo err >&2; exit 7'])).toMatchObject({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await eru.exec(['-i', name, 'cat'], { input: 'hi\n' })).toMatchObject({ code: 0, stdout: 'hi\n' });
  });

  it('logs shows what the service said', async () => {
    const [workload] = first as [Listed];
    await answers([workload]);
    const { stdout } = await eru.run(['logs', workload.id.slice(0, 12)]);
    expect(stdout).toContain('GET /');
  });

  it('what does not fit is refused with the reason per node, and nothing is booked', async () => {
    const recorded = (await eru.ps()).length;
    const deployed = await eru.run(['deploy', hello, '--count', '2', '--memory', '900T']);
    expect(deployed.code).toBe(3);
    expect(deployed.stderr).toMatch(/memory/);
    const planned = await eru.run(['plan', hello, '--count', '2', '--memory', '900T']);
    expect(planned.code).toBe(3);
    expect(await eru.ps()).toHaveLength(recorded);
    const { stdout } = await eru.run(['store', 'dump', 'operations/']);
    expect(stdout).toBe('');
  });

  it.each([
    ['an unknown key', 'appname: a\nentrypoints:\n  web:\n    comands: [x]\n', /app\.yaml:4:5: .*comands.*commands/],
    ['negative memory', 'appname: a\nmemory: -5M\nentrypoints:\n  web:\n    commands: [x]\n', /memory/],
    ['a name that cannot be parsed back', 'appname: a\nentrypoints:\n  my_web:\n    commands: [x]\n', /my_web/],
  ])('%s in a spec is one clear message, before any effect', async (_what, text, message) => {
    const { code, stderr } = await eru.run(['deploy', await spec(text)]);
    expect({ code, stderr }).toMatchObject({ code: 2 });
    expect(stderr).toMatch(message);
  });

  it('a missing program fails with its name and leaves nothing', async () => {
    const file = await spec('appname: missing\npod: default\nentrypoints:\n  web:\n    commands: [/no/such/program]\n');
    const { code, stderr } = await eru.run(['deploy', file]);
    expect(code).toBe(1);
    expect(stderr).toContain('/no/such/program');
    expect((await eru.ps()).map(({ app }) => app)).not.toContain('missing');
  });

  it('a wrong credential, a dead address and an unknown name have their exit codes', async () => {
    expect((await eru.run(['ps', '--password', 'wrong'])).code).toBe(5);
    expect((await eru.run(['ps', '--eru', '127.0.0.1:1'])).code).toBe(5);
    expect((await eru.run(['logs', 'nobody'])).code).toBe(4);
    expect((await eru.run(['no-such-command'])).code).toBe(2);
  });

  it('no credential at all is one clear message with the way out', async () => {
    const { address } = JSON.parse(await readFile(path.join(eru.data, 'endpoint.json'), 'utf8')) as { address: string };
    const stranger = await run(process.execPath, [command, 'ps', '--eru', address, '--data', folder]);
    expect(stranger).toMatchObject({ code: 5, stdout: '' });
    expect(stranger.stderr).toMatch(/^eru: Eru at .* refused: .*found no credential in .*--data.*\n$/);
  });

  it('a port in use is one clear message, and no Eru is left', async () => {
    const { address } = JSON.parse(await readFile(path.join(eru.data, 'endpoint.json'), 'utf8')) as { address: string };
    const second = await EruUnderTest.create();
    try {
      for (const detach of [[], ['--detach']])
        expect(await second.run(['up', '--listen', address, ...detach])).toEqual({
          code: 1,
          stdout: '',
          stderr: `eru: cannot listen on ${address}: another program does already; stop that one, or listen on another port\n`,
        });
      expect((await second.run(['down', '--all'])).code).toBe(0);
    } finally {
      await second.close();
    }
  });

  it('a second Eru on the same data is refused, and the first goes on', async () => {
    const { code, stderr } = await eru.up();
    expect(code).not.toBe(0);
    expect(stderr).toContain('in use by another Eru process');
    expect(await eru.ps()).toHaveLength(3);
  });

  it('stop, start and rm by name', { timeout: 60_000 }, async () => {
    const [{ name }] = first as [Listed];
    const stateOf = async (): Promise<boolean | undefined> =>
      (await eru.ps()).find((workload) => workload.name === name)?.running;
    expect((await eru.run(['stop', name])).code).toBe(0);
    await retry(async () => expect(await stateOf()).toBe(false), { attempts: 40, baseMs: 250, maxMs: 500 });
    expect((await eru.run(['start', name])).code).toBe(0);
    await retry(async () => expect(await stateOf()).toBe(true), { attempts: 40, baseMs: 250, maxMs: 500 });
    expect((await eru.run(['rm', name])).code).toBe(0);
    expect(await eru.ps()).toHaveLength(2);
  });

  it(
    'down --all in the middle of a replace leaves no process, cgroup, mount or namespace',
    { timeout: 120_000 },
    async () => {
      const old = new Set((await eru.ps()).map(({ id }) => id));
      const replacing = eru.run(['replace', hello]);
      await retry(async () => expect((await eru.ps()).filter(({ id }) => !old.has(id))).not.toEqual([]), {
        attempts: 100,
        maxMs: 100,
      });
      const { code, stderr } = await eru.run(['down', '--all'], { timeoutMs: 120_000 });
      expect(stderr).toContain('nothing of it is left');
      expect(code).toBe(0);
      await replacing;
      expect(await traces()).toEqual(before);
    },
  );
});
