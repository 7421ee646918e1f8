import { retry } from '@eru/kit';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { openEtcdStore } from './etcd.ts';

/** A real etcd of one member on loopback, with its own data folder. */
export class EtcdProcess {
  readonly endpoint: string;
  readonly #folder: string;
  readonly #peer: string;
  #child: ReturnType<typeof spawn> | undefined;

  static async start(): Promise<EtcdProcess> {
    const [client, peer] = await freePorts();
    const etcd = new EtcdProcess(await mkdtemp(path.join(tmpdir(), 'eru-etcd-')), client, peer);
    await etcd.start();
    return etcd;
  }

  private constructor(folder: string, client: number, peer: number) {
    this.#folder = folder;
    this.endpoint = `127.0.0.1:${client}`;
    this.#peer = `http://127.0.0.1:${peer}`;
  }

  async start(): Promise<void> {
    const client = `http://${this.endpoint}`;
    const options = {
      'data-dir': this.#folder,
      'listen-client-urls': client,
      'advertise-client-urls': client,
      'listen-peer-urls': this.#peer,
      'initial-advertise-peer-urls': this.#peer,
      'initial-cluster': `default=${this.#peer}`,
      'log-level': 'error',
    };
    const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`);
    this.#child = spawn('etcd', args, { stdio: 'ignore' });
    const store = await retry(() => openEtcdStore({ endpoints: [this.endpoint] }), { attempts: 100, maxMs: 200 });
    await store.close();
  }

  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
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

async function freePorts(): Promise<[number, number]> {
  const servers = await Promise.all(
    [0, 0].map(async (port) => {
      const server = net.createServer().listen(port, '127.0.0.1');
      await once(server, 'listening');
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port);
  for (const server of servers) server.close();
  return ports as [number, number];
}
