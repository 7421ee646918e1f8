import { retry } from '@eru/kit';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openEtcdStore, type EtcdStoreOptions } from './etcd.ts';
import { freePorts } from './free-ports.ts';

export interface EtcdProcessOptions {
  /** Flags of etcd without their dashes; they win over ours. */
  flags?: Readonly<Record<string, string>>;
  /** How its clients reach it: with `tls`, at https. */
  client?: Pick<EtcdStoreOptions, 'tls' | 'credential'>;
}

/** A real etcd on loopback, with its own data folder: a cluster of one, or a member of several. */
export class EtcdProcess {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #flags: Readonly<Record<string, string>>;
  readonly #client: Pick<EtcdStoreOptions, 'tls' | 'credential'>;
  #child: ReturnType<typeof spawn> | undefined;

  static async start(options: EtcdProcessOptions = {}): Promise<EtcdProcess> {
    const [etcd] = await EtcdProcess.startCluster(1, options);
    return etcd as EtcdProcess;
  }

  static async startCluster(
    size: number,
    { flags = {}, client = {} }: EtcdProcessOptions = {},
  ): Promise<EtcdProcess[]> {
    const ports = await freePorts(2 * size);
    const peers = ports.slice(size).map((port) => `http://127.0.0.1:${port}`);
    const cluster = peers.map((peer, index) => `m${index}=${peer}`).join(',');
    const members = await Promise.all(
      peers.map(async (peer, index) => {
        const own = { name: `m${index}`, 'listen-peer-urls': peer, 'initial-advertise-peer-urls': peer };
        const folder = await mkdtemp(path.join(tmpdir(), 'eru-etcd-'));
        return new EtcdProcess(folder, ports[index] as number, client, {
          ...own,
          'initial-cluster': cluster,
          ...flags,
        });
      }),
    );
    await Promise.all(members.map((member) => member.start()));
    return members;
  }

  private constructor(
    folder: string,
    port: number,
    client: Pick<EtcdStoreOptions, 'tls' | 'credential'>,
    flags: Readonly<Record<string, string>>,
  ) {
    this.#folder = folder;
    this.endpoint = `127.0.0.1:${port}`;
    this.#client = client;
    this.#flags = flags;
  }

  async start(): Promise<void> {
    const url = `${this.#client.tls === undefined ? 'http' : 'https'}://${this.endpoint}`;
    const options = {
      'data-dir': this.#folder,
      'listen-client-urls': url,
      'advertise-client-urls': url,
      'log-level': 'error',
      ...this.#flags,
    };
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    const child = spawn('etcd', args, { stdio: 'ignore' });
    this.#child = child;
    const store = await retry(() => openEtcdStore({ ...this.#client, endpoints: [this.endpoint] }), {
      attempts: 100,
      maxMs: 200,
      retryable: () => child.exitCode === null && child.signalCode === null,
    });
    await store.close();
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.#folder, { recursive: true, force: true });
  }
}
