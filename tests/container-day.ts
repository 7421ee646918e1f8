import { retry, run, runOk, type RunResult } from '@eru/kit';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { EruApart, node, patience } from './apart.ts';
import { busyboxImage } from './busybox-image.ts';
import { Containerd } from './containerd.ts';
import { Dockerd } from './dockerd.ts';
import { startRegistry } from './registry.ts';

export const victims = ['core', 'agent', 'dockerd', 'containerd'] as const;
export type Victim = (typeof victims)[number];

/** How docker shows a container of Eru. */
export interface Container {
  id: string;
  image: string;
  state: string;
  startedAt: string;
  memory: number;
  cpuset: string;
}

const asContainer =
  '{"id":{{json .Id}},"image":{{json .Config.Image}},"state":{{json .State.Status}},"startedAt":{{json .State.StartedAt}},"memory":{{.HostConfig.Memory}},"cpuset":{{json .HostConfig.CpusetCpus}}}';

interface Parts {
  containerd: Containerd;
  dockerd: Dockerd;
  apart: EruApart;
}

/**
 * One machine with all that containers need: containerd and dockerd, a registry, a git repository with a program, and Eru in its
 * three parts, which builds for the registry. Each may be killed.
 */
export class ContainerDay {
  readonly apart: EruApart;
  /** The image to begin with, in the registry. */
  readonly base: string;
  readonly #parts: Parts;
  readonly #closers: (() => Promise<unknown>)[];

  static async begin(): Promise<ContainerDay> {
    const closers: (() => Promise<unknown>)[] = [];
    try {
      const origin = await mkdtemp(path.join(tmpdir(), 'eru-origin-'));
      closers.push(() => rm(origin, { recursive: true }));
      await makeRepository(path.join(origin, 'clock.git'));
      let containerd: Containerd | undefined;
      const dockerd = await Dockerd.start(async (machine) => {
        containerd = await Containerd.start(machine);
        return [`--containerd=${containerd.socket}`];
      });
      closers.push(() => dockerd.remove());
      const registry = await startRegistry(dockerd.machine);
      const base = `${registry.name}/base:1`;
      await runOk('docker', ['-H', `unix://${dockerd.socket}`, 'tag', busyboxImage, base]);
      await runOk('docker', ['-H', `unix://${dockerd.socket}`, 'push', '-q', base]);
      const apart = await EruApart.start({
        docker: `unix://${dockerd.socket}`,
        environment: {
          ERU_CORE_GIT_SCM_TYPE: 'git',
          ERU_CORE_DOCKER_HUB: registry.name,
          ERU_CORE_DOCKER_BUILD_POD: 'default',
          GIT_CONFIG_COUNT: '2',
          GIT_CONFIG_KEY_0: `url.file://${origin}/.insteadOf`,
          GIT_CONFIG_VALUE_0: 'https://git.example/',
          GIT_CONFIG_KEY_1: 'protocol.file.allow',
          GIT_CONFIG_VALUE_1: 'always',
        },
      });
      closers.push(() => apart.close());
      return new ContainerDay({ containerd: containerd!, dockerd, apart }, base, closers);
    } catch (error) {
      for (const close of closers.toReversed()) await close();
      throw error;
    }
  }

  private constructor(parts: Parts, base: string, closers: (() => Promise<unknown>)[]) {
    this.apart = parts.apart;
    this.base = base;
    this.#parts = parts;
    this.#closers = closers;
  }

  async docker(...args: string[]): Promise<string> {
    return (await runOk('docker', ['-H', `unix://${this.#parts.dockerd.socket}`, ...args])).stdout.trim();
  }

  /** Whether containers outlive their dockerd, from now on. */
  async liveRestore(live: boolean): Promise<void> {
    const { dockerd } = this.#parts;
    await writeFile(path.join(dockerd.machine.folder, 'daemon.json'), JSON.stringify({ 'live-restore': live }));
    process.kill(dockerd.pid, 'SIGHUP');
    await retry(async () => {
      const said = await this.docker('info', '--format', '{{.LiveRestoreEnabled}}');
      if (said !== String(live)) throw new Error(`dockerd says live-restore=${said}`);
    }, patience);
  }

  /** SIGKILL, and another in its place that answers. */
  async kill(victim: Victim): Promise<void> {
    const { containerd, dockerd } = this.#parts;
    switch (victim) {
      case 'core':
        await this.apart.kill('core');
        (await this.apart.core()).close();
        return;
      case 'agent':
        await this.apart.kill('agent');
        this.apart.spawn('agent');
        return;
      case 'dockerd':
        await dockerd.stop('SIGKILL');
        return dockerd.start();
      case 'containerd':
        return containerd.kill();
    }
  }

  /** Every container with Eru's label, also those that do not run. */
  async containers(): Promise<Container[]> {
    const listed = await this.docker('ps', '-aq', '--no-trunc', '--filter', 'label=ERU');
    if (listed === '') return [];
    const args = ['-H', `unix://${this.#parts.dockerd.socket}`, 'inspect', '-f', asContainer, ...listed.split('\n')];
    // One may go between the two commands; what docker found it prints all the same.
    return (await run('docker', args)).stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Container);
  }

  /** Nothing is in flight any more, and engine, records, bookings and statuses agree. */
  async comesToRest(): Promise<void> {
    const { eru } = this.apart;
    await retry(async () => {
      const flying = (await eru.ok(['store', 'dump', 'operations/'])).stdout;
      if (flying !== '') throw new Error(`in flight: ${flying}`);
      await eru.ok(['node', 'check', node]);
    }, patience);
  }

  /** A command, and the death of `victim` as soon as the command's work is seen to have begun. */
  async during(victim: Victim, begun: () => Promise<boolean>, args: readonly string[]): Promise<RunResult> {
    const running = this.apart.eru.run(args, { timeoutMs: 120_000 });
    await retry(async () => {
      if (!(await begun())) throw new Error(`${args.join(' ')} has not begun`);
    }, patience);
    await this.kill(victim);
    return running;
  }

  async end(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
  }
}

/** A program that says who it is, and a number five times a second: with the version that its image was built as. */
async function makeRepository(folder: string): Promise<void> {
  await mkdir(folder);
  await writeFile(path.join(folder, 'version'), 'built\n');
  const script =
    'trap exit TERM; read -r name < /src/version; echo "run $name"; i=0; while i=$((i+1)); do echo "$i"; sleep 0.2; done\n';
  await writeFile(path.join(folder, 'clock.sh'), script);
  for (const args of [
    ['init', '--quiet', '-b', 'main'],
    ['add', '.'],
    ['-c', 'user.name=a', '-c', 'user.email=a@b', 'commit', '--quiet', '-m', 'a clock'],
  ])
    await runOk('git', ['-C', folder, ...args]);
}
