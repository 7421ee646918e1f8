import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { text } from 'node:stream/consumers';

import { retry, run, runOk, type RunOptions, type RunResult } from '@eru/kit';

import { DockerNetwork } from './docker-network.ts';
import { command } from './eru.ts';
import type { PrivateMachine } from './private-machine.ts';

export interface Answer {
  status: number;
  headers: http.IncomingHttpHeaders;
  body: string;
}

/** `eru barrel` before the dockerd of a `DockerNetwork`, on the same machine. */
export class Barrel {
  readonly host: DockerNetwork;
  #words: readonly string[] = [];
  #child: ChildProcess | undefined;

  /** `words` are added to the command; those that need files put them into the machine's folder. */
  static async start(
    words: readonly string[] | ((machine: PrivateMachine) => Promise<string[]>) = [],
  ): Promise<Barrel> {
    const barrel = new Barrel(await DockerNetwork.start());
    try {
      barrel.#words = typeof words === 'function' ? await words(barrel.host.machine) : words;
      await barrel.host.install();
      await barrel.startProxy();
      return barrel;
    } catch (error) {
      await barrel.remove();
      throw error;
    }
  }

  private constructor(host: DockerNetwork) {
    this.host = host;
  }

  get socket(): string {
    return path.join(this.host.machine.folder, 'barrel.sock');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async startProxy(): Promise<void> {
    const { dockerd } = this.host;
    const to = ['--dockerd-path', `unix://${dockerd.socket}`, '--host', `unix://${this.socket}`];
    this.#child = this.spawn([...to, '--socket', this.#own, ...this.#words]);
    await retry(() => this.docker('version'), { attempts: 200, baseMs: 50, maxMs: 200 });
  }

  /** A proxy on the machine. */
  spawn(words: readonly string[]): ChildProcess {
    const all = [command, 'barrel', '--log-level', 'warn', ...words];
    return this.host.machine.spawn(process.execPath, all, ['ignore', 'ignore', 'inherit']);
  }

  async killProxy(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** The docker command, as a user of the proxy runs it. */
  async docker(...words: string[]): Promise<string> {
    return (await runOk('docker', ['-H', `unix://${this.socket}`, ...words], { timeoutMs: 120_000 })).stdout.trim();
  }

  tryDocker(words: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run('docker', ['-H', `unix://${this.socket}`, ...words], { timeoutMs: 120_000, ...options });
  }

  /** One request as it is written here, through the proxy or (`direct`) past it. */
  async ask(method: string, target: string, body?: string, direct = false): Promise<Answer> {
    const request = http.request({
      socketPath: direct ? this.host.dockerd.socket : this.socket,
      method,
      path: target,
      agent: false,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
    });
    request.end(body);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
  }

  /** What its own endpoints say. */
  async own(target: string): Promise<Answer> {
    const request = http.get({ socketPath: this.#own, path: target, agent: false });
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
  }

  /** The most memory that it ever had, in MiB. */
  async peakMemory(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8');
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  }

  async remove(): Promise<void> {
    await this.killProxy();
    await this.host.remove();
  }

  get #own(): string {
    return path.join(this.host.machine.folder, 'barrel-own.sock');
  }
}
