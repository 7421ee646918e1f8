import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { retry, run, runOk, type RunResult } from '@eru/kit';

import { connectNetd, type NetworkService } from '@eru/network';

import { Dockerd } from './dockerd.ts';
import { command } from './eru.ts';

/** A stock dockerd with `eru netd --docker` beside it and the runtime installed, on a machine of its own. */
export class DockerNetwork {
  readonly dockerd: Dockerd;
  #netd: ChildProcess | undefined;

  static async start(flags: Parameters<typeof Dockerd.start>[0] = [], config: object = {}): Promise<DockerNetwork> {
    const network = new DockerNetwork(await Dockerd.start(flags, config));
    try {
      await network.startNetd();
      return network;
    } catch (error) {
      await network.remove();
      throw error;
    }
  }

  private constructor(dockerd: Dockerd) {
    this.dockerd = dockerd;
  }

  get machine(): Dockerd['machine'] {
    return this.dockerd.machine;
  }

  async startNetd(): Promise<void> {
    const { folder } = this.machine;
    const plugins = ['--plugins', '/usr/lib/cni', '--plugins', path.join(folder, 'plugins'), '--plugin-timeout', '3s'];
    const at = ['--node', 'here', '--data', path.join(folder, 'eru'), '--docker', this.dockerd.socket];
    const words = ['netd', ...at, ...plugins];
    this.#netd = this.machine.spawn(process.execPath, [command, ...words], ['ignore', 'ignore', 'pipe']);
    this.#netd.stderr?.pipe(createWriteStream(this.#log, { flags: 'a' }));
    const { pid } = this.#netd;
    // It takes calls of the runtime last.
    const ready = async (): Promise<void> => {
      if ((await this.machine.runOk('cat', ['/run/eru/oci/pid'])).trim() !== `${pid}`) throw new Error('not yet');
    };
    await retry(ready, { attempts: 400, baseMs: 20, maxMs: 100 });
  }

  async killNetd(): Promise<void> {
    const child = this.#netd;
    this.#netd = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    // `nsenter` is our child, and becomes the daemon.
    child.kill('SIGKILL');
    await exit;
  }

  get alive(): boolean {
    return this.#netd !== undefined;
  }

  /** The daemon's socket, seen from here. */
  get service(): NetworkService {
    return connectNetd(`/proc/${this.#netd?.pid}/root/run/eru/netd.sock`);
  }

  /** `eru net WORDS`, as on the machine. */
  net(...words: string[]): Promise<string> {
    return this.machine.runOk(process.execPath, [command, 'net', ...words]);
  }

  tryNet(...words: string[]): Promise<RunResult> {
    return run('nsenter', [...this.machine.inside, process.execPath, command, 'net', ...words]);
  }

  /** The second of the two commands, and what it says to do next. */
  async install(...words: string[]): Promise<void> {
    const { folder } = this.machine;
    const files = ['--script', path.join(folder, 'eru-oci'), '--daemon-json', path.join(folder, 'daemon.json')];
    await this.net('install-docker', '--docker', this.dockerd.socket, ...files, ...words);
    process.kill(this.dockerd.pid, 'SIGHUP');
    const name = words.includes('--name') ? (words[words.indexOf('--name') + 1] as string) : 'eru';
    await retry(
      async () => {
        const runtimes = await this.docker('info', '--format', '{{json .Runtimes}}');
        if (!(name in (JSON.parse(runtimes) as object))) throw new Error(`no runtime ${name} yet`);
      },
      { attempts: 200, baseMs: 20, maxMs: 200 },
    );
  }

  /** On the machine, as a user of it: a container's own address is reached only there. */
  async docker(...words: string[]): Promise<string> {
    return (
      await runOk('docker', ['-H', `unix://${this.dockerd.socket}`, ...words], { timeoutMs: 120_000 })
    ).stdout.trim();
  }

  tryDocker(...words: string[]): Promise<RunResult> {
    return run('docker', ['-H', `unix://${this.dockerd.socket}`, ...words], { timeoutMs: 120_000 });
  }

  /** What a machine may not keep of containers that are gone: cables, rules, namespaces, plugins' memory, declarations. */
  async traces(): Promise<string[]> {
    const { folder } = this.machine;
    const lines = async (program: string, ...words: string[]): Promise<string[]> =>
      (await this.machine.runOk(program, words)).split('\n').filter((line) => line !== '');
    const list = (what: string): Promise<string[]> => lines('sh', '-c', `ls -A ${what} 2>/dev/null || true`);
    const [links, nat, filter, ...files] = await Promise.all([
      lines('ip', '-o', 'link'),
      lines('iptables', '-w', '-t', 'nat', '-S'),
      lines('iptables', '-w', '-t', 'filter', '-S'),
      list('/run/eru/netns'),
      list(path.join(folder, 'eru/network/declared')),
      list(path.join(folder, 'eru/network/cni/results')),
    ]);
    return [
      ...links.map((line) => line.split(': ')[1] ?? '').filter((link) => /^(veth|ifb|bwp)/.test(link)),
      // A network's own rule stays while somebody may come back to it, as its bridge does.
      ...[...nat, ...filter].filter((rule) => /10\.8\.|CNI-[0-9a-f]|CNI-DN/.test(rule) && !/ eru-\w+ /.test(rule)),
      ...files.flat(),
    ];
  }

  /** What the daemon said. */
  log(): Promise<string> {
    return readFile(this.#log, 'utf8');
  }

  get #log(): string {
    return path.join(this.machine.folder, 'netd.log');
  }

  async remove(): Promise<void> {
    await this.killNetd();
    await this.dockerd.remove();
  }
}
