import { readdir, readFile } from 'node:fs/promises';

import { retry, type Random, type RunResult } from '@eru/kit';

import { busyboxImage } from './busybox-image.ts';
import type { DockerNetwork } from './docker-network.ts';

/** One thing that a user does. What a fault makes fail is not an error: its state afterwards is what counts. */
export interface Step {
  readonly name: string;
  run(host: DockerNetwork, random: Random): Promise<unknown>;
}

const names = ['a', 'b', 'c', 'd', 'e', 'f'];
const any = <T>(random: Random, list: readonly T[]): T => list[random.int(list.length)] as T;

/** How containers are made: through what labels ask, or, where it is there, a proxy. */
export type Create = (host: DockerNetwork, name: string, labels: readonly string[]) => Promise<unknown>;

export const createByLabels: Create = (host, name, labels) =>
  host.tryDocker(
    'create',
    ...labels.flatMap((label) => ['--label', label]),
    '--name',
    name,
    '--runtime',
    'eru',
    '--network',
    'none',
    busyboxImage,
    'sleep',
    'infinity',
  );

export function steps(create: Create): Step[] {
  const act = (name: string, ...words: string[]): Step => ({
    name,
    run: (host, random) => host.tryDocker(...words, any(random, names)),
  });
  const made: Step = {
    name: 'create',
    run: async (host, random) => {
      const name = any(random, names);
      const wishes = [
        ['fixed-ip='],
        ['fixed-ip=1', `eru.network/ports=${8000 + names.indexOf(name)}:80`],
        ['eru.network/name=web'],
        [`eru.network/ip=10.8.0.${100 + random.int(4)}`],
      ];
      await create(host, name, any(random, wishes));
      return host.tryDocker('start', name);
    },
  };
  const amended: Step = {
    name: 'connect',
    run: async (host, random) => {
      const { service } = host;
      const [intent] = await service.intents();
      if (intent === undefined) return;
      const { container, networks } = intent;
      const has = networks.some(({ network }) => network === 'back');
      if (has) await service.amend({ container, remove: 'back' });
      else await service.amend({ container, add: { network: 'back', ifname: `back${random.int(2)}` } });
    },
  };
  return [
    made,
    made,
    made,
    act('start', 'start'),
    act('start', 'start'),
    act('stop', 'stop', '-t', '0'),
    act('kill', 'kill'),
    act('restart', 'restart', '-t', '0'),
    act('remove', 'rm', '-f'),
    { name: 'prune', run: (host) => host.tryDocker('container', 'prune', '-f') },
    amended,
  ];
}

/** What dies between two steps. Answers how to bring it back. */
export interface Fault {
  readonly name: string;
  strike(host: DockerNetwork, random: Random): Promise<() => Promise<unknown>>;
}

export const faults: readonly Fault[] = [
  {
    name: 'kill -9 netd',
    strike: async (host) => {
      await host.killNetd();
      return () => host.startNetd();
    },
  },
  {
    name: 'kill -9 dockerd',
    strike: async (host) => {
      await host.dockerd.stop('SIGKILL');
      return () => host.dockerd.start();
    },
  },
  {
    name: 'kill -9 containerd',
    strike: async (host) => {
      await killOne(host, (command) => /(^|\/)containerd\0/.test(command));
      // dockerd starts another.
      return () => retry(() => host.docker('info'), { attempts: 100, baseMs: 100, maxMs: 200 });
    },
  },
  {
    name: 'kill -9 of a shim',
    strike: async (host, random) => {
      await killOne(host, (command) => command.includes('containerd-shim'), random);
      return () => Promise.resolve();
    },
  },
  {
    name: 'kill -9 of a workload',
    strike: async (host, random) => {
      await killOne(host, (command) => command.startsWith('sleep\0infinity\0'), random);
      return () => Promise.resolve();
    },
  },
];

/** Only what runs on this machine: its mount namespace tells. */
async function killOne(host: DockerNetwork, wanted: (command: string) => boolean, random?: Random): Promise<void> {
  const group = `/${host.machine.cgroup}`;
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const read = (file: string): Promise<string> => readFile(`/proc/${name}/${file}`, 'utf8').catch(() => '');
    const [command, groups] = await Promise.all([read('cmdline'), read('cgroup')]);
    if (wanted(command) && groups.includes(group)) found.push(Number(name));
  }
  if (found.length === 0) return;
  const pid =
    random === undefined
      ? (found[0] as number)
      : any(
          random,
          found.toSorted((a, b) => a - b),
        );
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was faster.
  }
}

/** Two running containers with one address, or a container with another address than it holds. */
export async function doubles(host: DockerNetwork): Promise<string[]> {
  const running = (await host.docker('ps', '-q', '--no-trunc')).split('\n').filter(Boolean);
  const owners = new Map<string, string>();
  const wrong: string[] = [];
  for (const id of running) {
    const result: RunResult = await host.tryDocker('exec', id, 'ip', '-o', '-4', 'address');
    for (const [, ip = ''] of result.stdout.matchAll(/inet (10\.[\d.]+)/g)) {
      const other = owners.get(ip);
      if (other !== undefined) wrong.push(`${ip} is on ${other} and on ${id}`);
      owners.set(ip, id);
    }
  }
  return wrong;
}
