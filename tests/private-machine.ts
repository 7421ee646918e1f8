import { retry, runOk } from '@eru/kit';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Where a program must be for all that it starts to be found: one hierarchy of version 1, or the tree of version 2. */
const hierarchy = existsSync('/sys/fs/cgroup/pids') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup';

/**
 * A machine within this one for a daemon under test: own network and mount namespaces, an own /run, an own cgroup, and a
 * cable to the host's network. Several live side by side. Whatever ran in it is gone after `remove`, and also when
 * the test process dies.
 */
export class PrivateMachine {
  /** Everything on disk; removed at the end. */
  readonly folder: string;
  /** Name of its cgroup in every hierarchy; containers belong below it (`--cgroup-parent`). */
  readonly cgroup: string;
  /** Number of its networks: no other machine has it. */
  readonly #number: number;
  readonly #holder: ChildProcess;

  static async create(): Promise<PrivateMachine> {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-machine-'));
    const cgroup = path.basename(folder);
    const script = path.join(import.meta.dirname, 'private-machine.sh');
    const holder = spawn(
      'unshare',
      ['--net', '--mount', '--propagation', 'private', 'sh', script, folder, cgroup],
      // Own session: Ctrl-C in a terminal ends the test, and with it the pipe; then the script clears away.
      { stdio: ['pipe', 'pipe', 'inherit'], detached: true },
    );
    await once(holder.stdout!, 'data');
    mkdirSync(path.join(hierarchy, cgroup, 'daemons'), { recursive: true });
    // Addresses of RFC 2544: for test beds, in nobody's network.
    const number = await retry(
      async () => {
        const number = Math.floor(Math.random() * 256);
        const inside = ['peer', 'name', 'eth0', 'netns', String(holder.pid)];
        await runOk('ip', ['link', 'add', `eru-t${number}`, 'type', 'veth', ...inside]);
        return number;
      },
      { attempts: 50, baseMs: 10 },
    );
    const machine = new PrivateMachine(folder, cgroup, number, holder);
    await runOk('ip', ['address', 'add', `${machine.hostAddress}/30`, 'dev', `eru-t${number}`]);
    await runOk('ip', ['link', 'set', `eru-t${number}`, 'up']);
    await machine.runOk('ip', ['address', 'add', `${machine.address}/30`, 'dev', 'eth0']);
    await machine.runOk('ip', ['link', 'set', 'eth0', 'up']);
    await machine.runOk('ip', ['route', 'add', 'default', 'via', machine.hostAddress]);
    await runOk('ip', ['route', 'add', `198.19.${number}.0/24`, 'via', machine.address]);
    return machine;
  }

  private constructor(folder: string, cgroup: string, number: number, holder: ChildProcess) {
    this.folder = folder;
    this.cgroup = cgroup;
    this.#number = number;
    this.#holder = holder;
  }

  /** Under which the host, tests and registries among them, is reached from inside. */
  get hostAddress(): string {
    return `198.18.${this.#number}.1`;
  }

  /** Under which published ports are reached from the host. */
  get address(): string {
    return `198.18.${this.#number}.2`;
  }

  /** First address and mask of the network that the host routes here: for the bridge of containers. */
  get bridge(): string {
    return `198.19.${this.#number}.1/24`;
  }

  /** Runs a program inside to its end. */
  async runOk(command: string, args: readonly string[]): Promise<string> {
    return (await runOk('nsenter', [...this.inside, command, ...args], { env: this.#environment })).stdout;
  }

  /** Starts a program inside, in a session of its own. */
  spawn(command: string, args: readonly string[], stdio: SpawnOptions['stdio'] = 'ignore'): ChildProcess {
    const join = `echo $$ >${path.join(hierarchy, this.cgroup, 'daemons', 'cgroup.procs')} && exec "$@"`;
    return spawn('sh', ['-c', join, 'sh', 'nsenter', ...this.inside, command, ...args], {
      stdio,
      detached: true,
      env: this.#environment,
    });
  }

  /** Nothing of the host's user: no proxies, no home, and not the folder of an Eru that runs there. */
  get #environment(): NodeJS.ProcessEnv {
    const eru = path.join(this.folder, 'none');
    return { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`, HOME: this.folder, ERU_DATA: eru, LANG: 'C.UTF-8' };
  }

  /** Ends everything in it, and leaves nothing behind. */
  async remove(): Promise<void> {
    const exit = once(this.#holder, 'exit');
    this.#holder.stdin?.end();
    if (this.#holder.exitCode === null) await exit;
    // The kernel clears a namespace away in its own time, and its cable with it.
    await runOk('ip', ['link', 'delete', `eru-t${this.#number}`]).catch(() => {});
  }

  /** Words of `nsenter` for a program that runs here. */
  get inside(): string[] {
    return ['--target', String(this.#holder.pid), '--net', '--mount'];
  }
}
