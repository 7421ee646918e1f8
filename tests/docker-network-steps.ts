import { readdir, readFile } from 'node:fs/promises';

import { retry, type Random, type RunResult } from '@eru/kit';

import type { Barrel } from './barrel.ts';
import { busyboxImage } from './busybox-image.ts';
import type { DockerNetwork } from './docker-network.ts';

/** A machine under chaos: a dockerd, the network daemon, and the proxy before them. */
export interface Chaotic {
  readonly barrel: Barrel;
  readonly random: Random;
  /** Ids of the containers whose creation on a network the proxy has told its client. */
  readonly told: Set<string>;
}

/** One thing that a user does. What a fault makes fail is not an error: its state afterwards is what counts. */
export interface Step {
  readonly name: string;
  /** Answers whether it was done. */
  run(chaotic: Chaotic): Promise<boolean>;
}

const names = ['ada', 'bob', 'cyd', 'dan', 'eve', 'fay'];
const any = <T>(random: Random, list: readonly T[]): T => list[random.int(list.length)] as T;

/** The docker command before dockerd itself or before the proxy, as it comes. */
async function docker({ barrel, random }: Chaotic, ...words: string[]): Promise<boolean> {
  const { code } = await (random.int(2) === 0 ? barrel.host.tryDocker(...words) : barrel.tryDocker(words));
  return code === 0;
}

/** Ends at once when dockerd, starting again, stops it: one that ignores its signal is given ten seconds. */
const stopped = ['--stop-signal', 'KILL'];
const sleeper = [busyboxImage, 'sleep', 'infinity'];

/** Asks by labels alone, as where there is no proxy. */
async function createByLabels({ barrel, random }: Chaotic, name: string): Promise<void> {
  const wishes = [
    ['fixed-ip='],
    ['fixed-ip=1', `eru.network/ports=${8000 + names.indexOf(name)}:80`],
    [],
    [`eru.network/ip=10.8.0.${100 + random.int(4)}`],
  ];
  const labels = ['eru.network/name=web', ...any(random, wishes)].flatMap((label) => ['--label', label]);
  const words = ['create', ...stopped, '--network', 'none', '--runtime', 'eru', ...labels, '--name', name, ...sleeper];
  await barrel.host.tryDocker(...words);
}

async function createByProxy({ barrel, random, told }: Chaotic, name: string): Promise<void> {
  const wishes = [
    ['--label', 'fixed-ip'],
    ['--label', 'fixed-ip', '-p', `${8000 + names.indexOf(name)}:80`],
    [],
    ['--ip', `10.8.0.${100 + random.int(4)}`],
  ];
  const words = ['create', ...stopped, '--network', 'web', ...any(random, wishes), '--name', name, ...sleeper];
  const { code, stdout } = await barrel.tryDocker(words);
  if (code === 0) told.add(stdout.trim());
}

const created: Step = {
  name: 'create',
  run: async (chaotic) => {
    const name = any(chaotic.random, names);
    await any(chaotic.random, [createByLabels, createByProxy])(chaotic, name);
    return docker(chaotic, 'start', name);
  },
};

const amended: Step = {
  name: 'connect',
  run: async (chaotic) => {
    const { barrel, random } = chaotic;
    const { service } = barrel.host;
    const [intent] = await service.intents();
    if (intent === undefined) return false;
    const { container, networks } = intent;
    const has = networks.some(({ network }) => network === 'back');
    if (random.int(2) === 0)
      return (await barrel.tryDocker(['network', has ? 'disconnect' : 'connect', 'back', container])).code === 0;
    const change = has ? { remove: 'back' } : { add: { network: 'back', ifname: `back${random.int(2)}` } };
    await service.amend({ container, ...change });
    return true;
  },
};

const act = (name: string, ...words: string[]): Step => ({
  name,
  run: (chaotic) => docker(chaotic, ...words, any(chaotic.random, names)),
});

export const steps: readonly Step[] = [
  created,
  created,
  created,
  act('start', 'start'),
  act('start', 'start'),
  act('stop', 'stop', '-t', '0'),
  act('kill', 'kill'),
  act('restart', 'restart', '-t', '0'),
  act('remove', 'rm', '-f'),
  { name: 'prune', run: (chaotic) => docker(chaotic, 'container', 'prune', '-f') },
  amended,
];

/** What dies between two steps. Answers how to bring it back. */
export interface Fault {
  readonly name: string;
  strike(barrel: Barrel, random: Random): Promise<() => Promise<unknown>>;
}

export const faults: readonly Fault[] = [
  {
    name: 'kill -9 barrel',
    strike: async (barrel) => {
      await barrel.killProxy();
      return () => barrel.startProxy();
    },
  },
  {
    name: 'kill -9 netd',
    strike: async ({ host }) => {
      await host.killNetd();
      return () => host.startNetd();
    },
  },
  {
    name: 'kill -9 dockerd',
    strike: async ({ host }) => {
      await host.dockerd.stop('SIGKILL');
      return () => host.dockerd.start();
    },
  },
  {
    name: 'kill -9 containerd',
    strike: async ({ host }) => {
      await killOne(host, (command) => /(^|\/)containerd\0/.test(command));
      // dockerd starts another.
      const there = async (): Promise<void> => {
        const parts = await host.docker('version', '--format', '{{range .Server.Components}}{{.Name}} {{end}}');
        if (!parts.includes('containerd')) throw new Error('no containerd yet');
      };
      return () => retry(there, { attempts: 100, baseMs: 100, maxMs: 200 });
    },
  },
  {
    name: 'kill -9 of a shim',
    strike: async ({ host }, random) => {
      await killOne(host, (command) => command.includes('containerd-shim'), random);
      return () => Promise.resolve();
    },
  },
  {
    name: 'kill -9 of a workload',
    strike: async ({ host }, random) => {
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

/** Two running containers with one address, or a container with an address that it does not hold. */
export async function doubles(host: DockerNetwork): Promise<string[]> {
  const running = (await host.docker('ps', '-q', '--no-trunc')).split('\n').filter(Boolean);
  const holders = new Map(
    (await host.service.intents()).flatMap(({ container, reservations }) =>
      reservations.flatMap(({ addresses }) => addresses.map(({ ip }) => [ip, container] as const)),
    ),
  );
  const owners = new Map<string, string>();
  const wrong: string[] = [];
  for (const id of running) {
    const result: RunResult = await host.tryDocker('exec', id, 'ip', '-o', '-4', 'address');
    for (const [, ip = ''] of result.stdout.matchAll(/inet (10\.[\d.]+)/g)) {
      const other = owners.get(ip);
      if (other !== undefined) wrong.push(`${ip} is on ${other} and on ${id}`);
      const holder = holders.get(ip);
      if (holder !== id) wrong.push(`${ip} is on ${id} and held by ${holder ?? 'nobody'}`);
      owners.set(ip, id);
    }
  }
  return wrong;
}

/** Containers on a network of ours that are there and that the network daemon does not know, though their client was told that they are. */
export async function forgotten({ barrel, told }: Chaotic): Promise<string[]> {
  const known = new Set((await barrel.host.service.intents()).map(({ container }) => container));
  const there = (await barrel.host.docker('ps', '-aq', '--no-trunc')).split('\n');
  return there.filter((id) => told.has(id) && !known.has(id));
}
