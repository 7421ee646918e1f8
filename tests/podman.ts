import { retry } from '@eru/kit';
import { closeSync, openSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { busyboxImage, busyboxTree, importImage } from './busybox-image.ts';
import { pingDocker } from './ping-docker.ts';
import { PrivateMachine } from './private-machine.ts';

/**
 * Podman's Docker-compatible service on a `PrivateMachine`, with storage, networks, settings and control groups of its own.
 * Needs root and the parts `podman`, `runc`, `conmon`, `cni`, `iptables` and `busybox`. Its image is `busyboxImage`.
 */
export class Podman {
  readonly machine: PrivateMachine;

  static async start(): Promise<Podman> {
    const machine = await PrivateMachine.create();
    try {
      const podman = new Podman(machine);
      await podman.#configure();
      await podman.#serve();
      await busyboxTree(podman.tree);
      await importImage(podman.socket, podman.tree, busyboxImage);
      return podman;
    } catch (error) {
      await machine.remove();
      throw error;
    }
  }

  private constructor(machine: PrivateMachine) {
    this.machine = machine;
  }

  /** Path of the unix socket. */
  get socket(): string {
    return this.#file('podman.sock');
  }

  /** The folder that its image was made of. */
  get tree(): string {
    return this.#file('busybox');
  }

  /** Ends it with all its containers, and leaves nothing behind. */
  async remove(): Promise<void> {
    await this.machine.remove();
  }

  #file(name: string): string {
    return path.join(this.machine.folder, name);
  }

  async #configure(): Promise<void> {
    const files = {
      'containers.conf': `[containers]
log_driver = "k8s-file"
[engine]
events_logger = "file"
# Otherwise in shared memory, one for the whole machine.
lock_type = "file"
[network]
network_backend = "cni"
network_config_dir = "${this.#file('networks')}"
cni_plugin_dirs = ["/usr/lib/cni"]
`,
      'storage.conf': `[storage]
driver = "vfs"
graphroot = "${this.#file('data')}"
runroot = "${this.#file('run')}"
`,
      'registries.conf': `# A short name is docker's: nobody can be asked which registry is meant.
unqualified-search-registries = ["docker.io"]
short-name-mode = "disabled"
[[registry]]
location = "${this.machine.address}"
insecure = true
`,
      '.config/containers/policy.json': '{"default":[{"type":"insecureAcceptAnything"}]}',
    };
    for (const folder of ['networks', 'cni', 'tmp', '.config/containers'])
      await mkdir(this.#file(folder), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(this.#file(name), text);
  }

  async #serve(): Promise<void> {
    const { folder, cgroup } = this.machine;
    const environment = [
      `CONTAINERS_CONF=${this.#file('containers.conf')}`,
      `CONTAINERS_STORAGE_CONF=${this.#file('storage.conf')}`,
      `CONTAINERS_REGISTRIES_CONF=${this.#file('registries.conf')}`,
    ];
    const script = path.join(import.meta.dirname, 'podman.sh');
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', script, folder, cgroup];
    const log = this.#file('podman.log');
    const output = openSync(log, 'a');
    const child = this.machine.spawn('env', [...environment, ...unshare], ['ignore', output, output]);
    closeSync(output);
    await retry(() => pingDocker(this.socket), {
      attempts: 300,
      baseMs: 50,
      maxMs: 200,
      retryable: () => child.exitCode === null && child.signalCode === null,
    }).catch(async (cause: unknown) => {
      throw new Error(`podman does not answer:\n${(await readFile(log, 'utf8')).slice(-3000)}`, { cause });
    });
  }
}
