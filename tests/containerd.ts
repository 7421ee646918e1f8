import { retry } from '@eru/kit';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';

import type { PrivateMachine } from './private-machine.ts';

/** A containerd beside dockerd, as a distribution runs it, so that it dies alone; it ends with its machine. `dockerd --containerd=<socket>` */
export class Containerd {
  readonly #machine: PrivateMachine;
  #child: ChildProcess | undefined;

  static async start(machine: PrivateMachine): Promise<Containerd> {
    const containerd = new Containerd(machine);
    await containerd.start();
    return containerd;
  }

  private constructor(machine: PrivateMachine) {
    this.#machine = machine;
  }

  get socket(): string {
    return path.join(this.#machine.folder, 'containerd.sock');
  }

  /** SIGKILL, and another in its place that answers. */
  async kill(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** By SIGKILL. */
  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  /** The first time or again; it answers. */
  async start(): Promise<void> {
    const { folder } = this.#machine;
    const config = path.join(folder, 'containerd.toml');
    const at = (name: string): string => JSON.stringify(path.join(folder, name));
    const lines = [
      'version = 2',
      `root = ${at('containerd/root')}`,
      `state = ${at('containerd/state')}`,
      'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
      '[grpc]',
      `address = ${JSON.stringify(this.socket)}`,
    ];
    await writeFile(config, lines.join('\n'));
    this.#child = this.#machine.spawn('containerd', ['--config', config]);
    await retry(() => connect(this.socket), { attempts: 200, baseMs: 20, maxMs: 100 });
  }
}

async function connect(file: string): Promise<void> {
  const socket = net.connect(file);
  await once(socket, 'connect');
  socket.destroy();
}
