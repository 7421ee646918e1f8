import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, runOk, type RunResult } from '@eru/kit';

/**
 * A host for tests: its own network and mount namespaces, and a `/run` of its own, so that bridges, rules, named
 * namespaces and locks of a test are nobody else's. All of it falls with one process.
 */
export class TestHost {
  readonly folder: string;
  /** Of the process that holds it. */
  readonly pid: number;
  readonly #end: () => Promise<void>;

  static async start(): Promise<TestHost> {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-host-'));
    const script =
      'mount -t tmpfs tmpfs /run && mkdir /run/netns && mount -t sysfs sysfs /sys && ip link set lo up && echo ready && exec sleep infinity';
    const child = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', '-ec', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exit = once(child, 'exit');
    await Promise.race([once(child.stdout, 'data'), exit.then(() => Promise.reject(new Error('no namespaces here')))]);
    return new TestHost(folder, child.pid as number, async () => {
      child.kill('SIGKILL');
      await exit;
      await rm(folder, { recursive: true, force: true });
    });
  }

  private constructor(folder: string, pid: number, end: () => Promise<void>) {
    this.folder = folder;
    this.pid = pid;
    this.#end = end;
  }

  /** The words that run `command` on this host. */
  words(...command: string[]): [string, string[]] {
    return ['nsenter', ['--target', String(this.pid), '--net', '--mount', '--', ...command]];
  }

  run(...command: string[]): Promise<RunResult> {
    return run(...this.words(...command));
  }

  async ok(...command: string[]): Promise<string> {
    return (await runOk(...this.words(...command))).stdout;
  }

  /** Runs a module on this host against the built package as `network`; answers what it printed as JSON. */
  async module<T>(code: string): Promise<T> {
    const built = JSON.stringify(import.meta.resolve('../dist/index.js'));
    const text = `import * as network from ${built};\n${code}`;
    return JSON.parse(await this.ok(process.execPath, '--input-type=module', '-e', text)) as T;
  }

  /** What a host may not keep of a workload that is gone: links, rules, named namespaces. */
  async traces(): Promise<string[]> {
    const links = (await this.ok('ip', '-o', 'link')).split('\n').map((line) => line.split(': ')[1] ?? '');
    const rules = (await Promise.all(['nat', 'filter'].map((table) => this.ok('iptables', '-w', '-t', table, '-S'))))
      .join('')
      .split('\n');
    const names = (await this.ok('ls', '/run/netns')).split('\n');
    return [
      ...links.filter((link) => /^(veth|ifb|bwp)/.test(link)),
      ...rules.filter((rule) => / 10\.\d+\.\d+\.\d+\/32 /.test(rule)),
      ...names.filter((name) => name !== ''),
    ];
  }

  stop(): Promise<void> {
    return this.#end();
  }
}

/** Joins two hosts by a cable, with these addresses at each end. */
export async function cable(
  one: TestHost,
  onesAddresses: string[],
  other: TestHost,
  othersAddresses: string[],
): Promise<void> {
  const pid = other.words()[1][1] as string;
  await one.ok('ip', 'link', 'add', 'cable', 'type', 'veth', 'peer', 'name', 'cable', 'netns', pid);
  for (const [host, addresses] of [
    [one, onesAddresses],
    [other, othersAddresses],
  ] as const) {
    for (const address of addresses)
      await host.ok('ip', 'address', 'add', address, 'dev', 'cable', ...(address.includes(':') ? ['nodad'] : []));
    await host.ok('ip', 'link', 'set', 'cable', 'up');
  }
}
