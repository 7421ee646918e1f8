import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { childEnvironment, readIfExists, retry, run, systemClock, type RunResult } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { command } from './eru.ts';

let folder: string;
let core: ChildProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-config-'));
});
afterEach(async () => {
  if (core?.exitCode === null) {
    core.kill('SIGTERM');
    await once(core, 'exit');
  }
  core = undefined;
  await rm(folder, { recursive: true, force: true });
});

const file = (): string => path.join(folder, 'core.yaml');
const log = (): string => path.join(folder, 'core.log');

/** A file that listens where it may, and logs where we look. */
async function write(text: string): Promise<void> {
  await writeFile(file(), `bind: 127.0.0.1:0\n${text}\nlog: { level: info, filename: ${log()} }\n`);
}

function eru(...args: string[]): Promise<RunResult> {
  return run(process.execPath, [command, ...args], { timeoutMs: 60_000, env: { ...process.env, NO_COLOR: '1' } });
}

/** The fields of the last line of the log that says `message`. */
async function logged(message: string, lines = 1): Promise<Record<string, unknown>> {
  return retry(
    async () => {
      const found = ((await readIfExists(log())) ?? '')
        .split('\n')
        .filter((line) => line.includes(`"msg":"${message}`));
      if (found.length < lines) throw new Error(`no line says ${message}`);
      return JSON.parse(found.at(-1) ?? '') as Record<string, unknown>;
    },
    { attempts: 200, baseMs: 50, maxMs: 100, clock: systemClock, retryable: () => true },
  );
}

/** Starts core with the file; answers its address. */
async function start(...more: string[]): Promise<string> {
  const data = path.join(folder, 'data');
  core = spawn(process.execPath, [command, 'core', '--config', file(), '--data', data, ...more], {
    stdio: 'ignore',
    env: childEnvironment(),
  });
  return String((await logged('core serves'))['address']);
}

const list = async (address: string, password?: string): Promise<number> =>
  (
    await eru(
      'pod',
      'ls',
      '--eru',
      address,
      ...(password === undefined ? [] : ['--username', 'admin', '--password', password]),
    )
  ).code;

describe('eru core --config', () => {
  it('serves as the file says, reads it again on SIGHUP, and says what needs a restart', async () => {
    await write('auth: { username: admin, password: first }\nprofile: 127.0.0.1:0');
    const address = await start();
    expect([await list(address, 'first'), await list(address, 'second'), await list(address)]).toEqual([0, 5, 5]);
    const metrics = String((await logged('metrics are served'))['address']);
    expect(await (await fetch(`http://${metrics}/metrics`)).text()).toContain('eru_workloads 0');

    await write(
      'auth: { username: admin, password: second }\nprofile: 127.0.0.1:0\nlock_timeout: 10s\nscheduler: { sharebase: 10 }',
    );
    core?.kill('SIGHUP');
    expect(await logged('configuration read again')).toMatchObject({
      changed: ['lock_timeout', 'auth.password'],
      restart: ['scheduler.sharebase'],
    });
    expect([await list(address, 'first'), await list(address, 'second')]).toEqual([5, 0]);

    await write('lokc_timeout: 1s');
    core?.kill('SIGHUP');
    await logged('the configuration was not read again');
    expect(await list(address, 'second')).toBe(0);
  });

  it('without auth serves this machine without a credential, and nobody else unless told to', async () => {
    await write('');
    expect(await list(await start())).toBe(0);
    await writeFile(file(), 'bind: :0\n');
    const refused = await eru('core', '--config', file(), '--data', path.join(folder, 'other'));
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringContaining('say --no-auth')]);
  });
});

describe('eru core config check', () => {
  it('answers 0 and what has no effect, or 2 and what is wrong', async () => {
    await writeFile(file(), 'bind: 127.0.0.1:5001\nstatsd: 127.0.0.1:8125\nlog_level: DEBUG\n');
    const good = await eru('core', 'config', 'check', file());
    expect([good.code, good.stdout.split('\n')[0]]).toEqual([0, `${file()} is good.`]);
    expect(good.stdout).toMatch(/^statsd has no effect: .*\/metrics/m);
    expect(good.stdout).toMatch(/^log_level has no effect: .*log\.level/m);
    await writeFile(file(), 'etcd:\n  machnies: [a]\n');
    const bad = await eru('core', 'config', 'check', file());
    expect([bad.code, bad.stderr]).toEqual([
      2,
      `eru: ${file()}:2:3: unknown key etcd.machnies; did you mean machines?\n`,
    ]);
    expect((await eru('core', 'config', 'check', path.join(folder, 'none.yaml'))).code).toBe(2);
  });
});
