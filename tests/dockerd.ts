import { retry } from '@eru/kit';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { busyboxImage, busyboxTree, importImage } from './busybox-image.ts';
import { pingDocker } from './ping-docker.ts';
import { PrivateMachine } from './private-machine.ts';
import { standStill } from './stand-still.ts';

/**
 * A real dockerd of its own on a `PrivateMachine`: own data, containerd, network and cgroup, so that several run beside each
 * other and none touches the host's. Needs root and the parts `docker` and `busybox`. Its image is `busyboxImage`.
 */
export class Dockerd {
  readonly machine: PrivateMachine;
  readonly #flags: readonly string[];
  #child: ChildProcess | undefined;

  /**
   * `flags` of dockerd are added to ours, e.g. `--live-restore`; those that need files put them into the machine's folder.
   * `config` is its file, for what no flag says.
   */
  static async start(
    flags: readonly string[] | ((machine: PrivateMachine) => Promise<string[]>) = [],
    config: object = {},
  ): Promise<Dockerd> {
    const machine = await PrivateMachine.create();
    try {
      const dockerd = new Dockerd(machine, typeof flags === 'function' ? await flags(machine) : flags);
      await writeFile(path.join(machine.folder, 'daemon.json'), JSON.stringify(config));
      await dockerd.start();
      // So that the host reaches containers at their own addresses.
      await machine.runOk('iptables', ['-I', 'DOCKER-USER', '-i', 'eth0', '-j', 'ACCEPT']);
      const tree = path.join(machine.folder, 'busybox');
      await busyboxTree(tree);
      await importImage(dockerd.socket, tree, busyboxImage);
      return dockerd;
    } catch (error) {
      await machine.remove();
      throw error;
    }
  }

  private constructor(machine: PrivateMachine, flags: readonly string[]) {
    this.machine = machine;
    this.#flags = flags;
  }

  /** Path of the unix socket. */
  get socket(): string {
    return path.join(this.machine.folder, 'docker.sock');
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts it, the first time or again, and waits until it answers. */
  async start(): Promise<void> {
    const { folder, cgroup, bridge } = this.machine;
    // What a killed daemon left would make the next one think that it runs already.
    // Its containerd has died with it, and may be a zombie, which looks alive.
    await rm(path.join(folder, 'docker.pid'), { force: true });
    await rm(path.join(folder, 'exec/containerd/containerd.pid'), { force: true });
    const options = {
      'config-file': path.join(folder, 'daemon.json'),
      pidfile: path.join(folder, 'docker.pid'),
      'data-root': path.join(folder, 'data'),
      'exec-root': path.join(folder, 'exec'),
      host: `unix://${this.socket}`,
      bip: bridge,
      'exec-opt': 'native.cgroupdriver=cgroupfs',
      'cgroup-parent': `/${cgroup}`,
      'insecure-registry': '198.18.0.0/15',
    };
    const child = this.machine.spawn(
      'dockerd',
      [...Object.entries(options).map(([name, value]) => `--${name}=${value}`), ...this.#flags],
      ['ignore', 'pipe', 'pipe'],
    );
    this.#child = child;
    const log = createWriteStream(this.#log, { flags: 'a' });
    child.stdout?.pipe(log, { end: false });
    child.stderr?.pipe(log);
    await retry(() => pingDocker(this.socket), {
      attempts: 300,
      baseMs: 50,
      maxMs: 200,
      retryable: () => child.exitCode === null && child.signalCode === null,
    }).catch(async (cause: unknown) => {
      throw new Error(`dockerd does not answer:\n${(await this.log()).slice(-3000)}`, { cause });
    });
  }

  /** Ends it, by default in an orderly way (its containers too, unless it runs with `--live-restore`). */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Makes it hang: connections are taken and never answered. Resolves when all of it stands still. */
  async freeze(): Promise<void> {
    await standStill(this.pid);
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  async log(): Promise<string> {
    return existsSync(this.#log) ? readFile(this.#log, 'utf8') : '';
  }

  /** Ends it with all its containers, and leaves nothing behind. */
  async remove(): Promise<void> {
    await this.machine.remove();
  }

  get #log(): string {
    return path.join(this.machine.folder, 'dockerd.log');
  }
}
