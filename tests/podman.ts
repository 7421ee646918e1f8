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

  async log(): Promise<string> {
    return readFile(this.#file('podman.log'), 'utf8');
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
# It asks for more than a machine without CAP_SYS_RESOURCE may give.
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
# Of containers that ask for none; its own is 2048.
pids_limit = 0
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
    const environment = ['containers', 'containers_storage', 'containers_registries'].map(
      (what) => `${what.toUpperCase()}_CONF=${this.#file(`${what.split('_').at(-1)}.conf`)}`,
    );
    const script = path.join(import.meta.dirname, 'podman.sh');
    const unshare = ['unshare', '--mount', '--propagation', 'private', 'sh', script, folder, cgroup];
    const log = openSync(this.#file('podman.log'), 'a');
    const child = this.machine.spawn('env', [...environment, ...unshare], ['ignore', log, log]);
    closeSync(log);
    await retry(() => pingDocker(this.socket), {
      attempts: 300,
      baseMs: 50,
      maxMs: 200,
      retryable: () => child.exitCode === null && child.signalCode === null,
    }).catch(async (cause: unknown) => {
      throw new Error(`podman does not answer:\n${(await this.log()).slice(-3000)}`, { cause });
    });
  }
}
