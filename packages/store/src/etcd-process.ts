import { retry } from '@eru/kit';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openEtcdStore, type EtcdStoreOptions } from './etcd.ts';

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
    this.#child = spawn('etcd', args, { stdio: 'ignore' });
    const store = await retry(() => openEtcdStore({ ...this.#client, endpoints: [this.endpoint] }), {
      attempts: 100,
      maxMs: 200,
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

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
