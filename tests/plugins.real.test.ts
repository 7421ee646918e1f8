import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { readIfExists, retry, runOk, systemClock } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { command, EruUnderTest } from './eru.ts';
import { describeWith } from './parts.ts';

const licences = path.join(import.meta.dirname, '../examples/kinds/licences');

/** Two seats of Ansys are what a node has that was added without saying. */
const app = `
appname: cad
pod: default
entry: web
count: 1
cpu: 0.1
memory: 32M
extra_resources: { licences: { ansys: 1 } }
entrypoints:
  web:
    commands: ['sleep', '100000']
`;

/** Counts tokens like the licences, but hangs in every booking for as long as the file `closed` is there. */
const turnstile = (folder: string): string => `#!/bin/sh
if [ "$1" = set-node-resource-usage ]; then
  touch ${folder}/reached
  while [ -e ${folder}/closed ]; do sleep 0.02; done
fi
exec eru kind ${folder}/tokens "$1" --state ${folder}/state
`;

describeWith([], 'a resource plugin dropped into the folder', () => {
  let eru: EruUnderTest;
  let folder: string;
  let plugins: string;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-plugins-'));
    plugins = path.join(folder, 'plugins');
    await mkdir(plugins, { mode: 0o755 });
    await mkdir(path.join(folder, 'bin'));
    await symlink(command, path.join(folder, 'bin/eru'));
    await copyFile(licences, path.join(plugins, 'licences'));
    await chmod(path.join(plugins, 'licences'), 0o755);
    await writeFile(path.join(folder, 'app.yaml'), app);
    env = { ...process.env, NO_COLOR: '1', PATH: `${path.join(folder, 'bin')}:${process.env['PATH']}` };
    eru = await EruUnderTest.create();
  });
  afterAll(async () => {
    await eru.run(['down', '--all'], { timeoutMs: 120_000, env });
    await eru.close();
    await rm(folder, { recursive: true, force: true });
  });

  const up = async (): Promise<unknown> =>
    eru.ok(['up', '--detach', '--listen', '127.0.0.1:0', '--node', 'n1', '--plugin-dir', plugins], {
      timeoutMs: 120_000,
      env,
    });
  const deploy = (...more: string[]) => eru.run(['deploy', path.join(folder, 'app.yaml'), ...more], { env });

  /** What the plugin itself says is used, asked past core. */
  async function seats(): Promise<unknown> {
    const input = JSON.stringify({ nodename: 'n1', workloads_resource: null });
    const { stdout } = await runOk(path.join(plugins, 'licences'), ['get-node-resource-info'], { input, env });
    return (JSON.parse(stdout) as { usage: { ansys: number } }).usage.ansys;
  }

  it('bounds deploys, and its refusal says so', { timeout: 120_000 }, async () => {
    await up();
    expect(await deploy('--count', '2')).toMatchObject({ code: 0 });
    expect(await seats()).toBe(2);
    const refused = await deploy();
    expect(refused.code).toBe(3);
    expect(refused.stderr).toContain('licences capacity');
    const [first] = await eru.ps();
    await eru.ok(['remove', first?.id ?? ''], { env });
    expect(await seats()).toBe(1);
  });

  it(
    'that is new is told of what runs; core killed between its booking and the store leaves it exact',
    { timeout: 120_000 },
    async () => {
      await eru.ok(['down'], { env });
      await writeFile(path.join(folder, 'tokens'), 'amounts:\n  any:\n    default: 100\n');
      await writeFile(path.join(plugins, 'turnstile'), turnstile(folder));
      await chmod(path.join(plugins, 'turnstile'), 0o755);
      await up();
      await writeFile(
        path.join(folder, 'app.yaml'),
        app.replace('{ ansys: 1 } }', '{ ansys: 1 }, turnstile: { any: 1 } }'),
      );
      await writeFile(path.join(folder, 'closed'), '');
      const dying = deploy();
      await until(
        async () => (await readIfExists(path.join(folder, 'reached'))) !== undefined && (await seats()) === 2,
      );
      process.kill(await eru.pid(), 'SIGKILL');
      expect((await dying).code).not.toBe(0);
      await rm(path.join(folder, 'closed'));
      await until(async () => (await waiting(folder)).length === 0);
      await up();
      await until(async () => (await seats()) === 1 && (await stateOf(folder)).includes('"usage":{"any":0}'));
      expect(await eru.ps()).toHaveLength(1);
      // The seat is free again.
      expect(await deploy()).toMatchObject({ code: 0 });
      expect(await seats()).toBe(2);
    },
  );
});

async function stateOf(folder: string): Promise<string> {
  const names = await readdir(path.join(folder, 'state'));
  return (await Promise.all(names.map((name) => readFile(path.join(folder, 'state', name), 'utf8')))).join('');
}

/** Plugin processes that a dead core has left. */
async function waiting(folder: string): Promise<string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return commands.filter((words) => words.includes(`${folder}/`) && words.includes('set-node-resource-usage'));
}

function until(check: () => Promise<boolean>): Promise<void> {
  return retry(
    async () => {
      if (!(await check())) throw new Error('not yet');
    },
    { attempts: 100, baseMs: 100, maxMs: 300, clock: systemClock, retryable: () => true },
  );
}
