import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import path from 'node:path';

import { connectCore, readEndpoint, type Core } from '@eru/client';
import { connectEngine, type Engine } from '@eru/engines';
import { childEnvironment, EruError, retry } from '@eru/kit';

import { freePort } from '../packages/store/src/free-ports.ts';
import { command, EruUnderTest } from './eru.ts';

export type Part = 'core' | 'runtime' | 'agent';

/** Name of the one node. */
export const node = 'apart';

export interface ApartOptions {
  /** `embedded`, the default, or an etcd. */
  store?: string;
  /** The `unix://` socket of the node's dockerd; without one it runs processes only. */
  docker?: string;
  /** Of every part, besides that of this process. */
  environment?: Readonly<Record<string, string>>;
}

/** Core, node daemon and agent of one node, each a process of the built command. Each writes to `<part>.log` in the data folder. */
export class EruApart {
  readonly eru: EruUnderTest;
  readonly #listen: string;
  readonly #options: Required<ApartOptions>;
  readonly #children = new Map<Part, ChildProcess>();

  /** All three serve, and the node is in the pod `default`. */
  static async start({ store = 'embedded', docker = 'none', environment = {} }: ApartOptions = {}): Promise<EruApart> {
    const options = { store, docker, environment };
    const apart = new EruApart(await EruUnderTest.create(), `127.0.0.1:${await freePort()}`, options);
    apart.spawn('runtime');
    await apart.core();
    await apart.eru.ok(['pod', 'add', 'default']);
    const endpoint = `eru+unix://${apart.#socket}`;
    await retry(() => apart.eru.ok(['node', 'add', 'default', '--nodename', node, '--endpoint', endpoint]), patience);
    apart.spawn('agent');
    await retry(async () => {
      const [known] = JSON.parse((await apart.eru.ok(['node', 'ls', '-o', 'json'])).stdout) as { available: boolean }[];
      if (known === undefined || !known.available)
        throw new EruError('unavailable', 'the agent has not been heard of yet');
    }, patience);
    return apart;
  }

  private constructor(eru: EruUnderTest, listen: string, options: Required<ApartOptions>) {
    this.eru = eru;
    this.#listen = listen;
    this.#options = options;
  }

  get #socket(): string {
    return path.join(this.eru.data, 'runtime.sock');
  }

  spawn(part: Part): void {
    const { store, docker, environment } = this.#options;
    const options = {
      core: ['--listen', this.#listen, '--store', store],
      runtime: ['--docker', docker],
      agent: ['--node', node, '--heartbeat', '5'],
    }[part];
    const log = openSync(path.join(this.eru.data, `${part}.log`), 'a');
    const child = spawn(process.execPath, [command, part, ...options, '--data', this.eru.data], {
      stdio: ['ignore', log, log],
      env: { ...childEnvironment(), ...environment },
    });
    closeSync(log);
    this.#children.set(part, child);
  }

  /** Starts core and answers a client of it, once it serves. */
  async core(): Promise<Core> {
    this.spawn('core');
    return this.connect();
  }

  /** A client of the core that serves, or is about to. */
  async connect(): Promise<Core> {
    return retry(async () => {
      const { address, username, password } = (await readEndpoint(this.eru.data)) ?? {
        address: this.#listen,
        username: '',
        password: '',
      };
      const client = connectCore({ addresses: [address], credential: { username, password } });
      try {
        await client.core.info({});
        return client;
      } catch (error) {
        client.close();
        throw error;
      }
    }, patience);
  }

  /** The node's engine, as core sees it. */
  engine(): Engine & { close(): Promise<void> } {
    return connectEngine({ address: `unix://${this.#socket}` });
  }

  async kill(part: Part, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#children.get(part);
    if (child === undefined) return;
    this.#children.delete(part);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Ends the parts; workloads run on. */
  async stop(): Promise<void> {
    for (const part of ['agent', 'core', 'runtime'] as const) await this.kill(part, 'SIGTERM');
  }

  /** Ends the parts; removes the data folder, and the workloads that a failed test has left. */
  async close(): Promise<void> {
    await this.stop();
    await this.eru.close();
  }
}

/** Something comes soon, or the test has failed. */
export const patience = { attempts: 300, baseMs: 100, maxMs: 250 };
