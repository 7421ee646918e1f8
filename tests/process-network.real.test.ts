import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { childEnvironment, retry, run, runOk, type RunResult } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage, busyboxTree } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { command, EruUnderTest, type Listed } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { startRegistry } from './registry.ts';

const etcd = '10.77.200.1:23790';
/** The first process of a namespace ends at TERM only if it says so. */
const server =
  "process.on('SIGTERM', () => process.exit()); require('http').createServer((q, r) => r.end('here')).listen(8000)";

interface Deployed {
  id: string;
  name: string;
  /** IPv4 first. */
  addresses: string[];
}

/**
 * Two hosts with a cable for their routes and one that their bridges share; one etcd; Eru on the first, beside a dockerd whose
 * FORWARD policy is DROP, and netd on the second.
 */
describeAsRoot(
  ['cni', 'ip', 'iptables', 'ping', 'etcd', 'runc', 'docker', 'registry', 'busybox'],
  'one network',
  () => {
    const space = `eru-${process.pid}-two`;
    let dockerd: Dockerd;
    let registry: { name: string };
    let image: string;
    const on = (host: 'one' | 'two', ...words: string[]): [string, string[]] => [
      'nsenter',
      [...(host === 'one' ? dockerd.machine.inside : [`--net=/run/netns/${space}`]), ...words],
    ];
    const children: ChildProcess[] = [];
    let folder: string;
    let app: EruUnderTest;
    const start = (host: 'one' | 'two', ...words: string[]): ChildProcess => {
      const child = spawn(...on(host, ...words), { stdio: 'ignore', env: childEnvironment() });
      children.push(child);
      return child;
    };
    /** The built command on the first host, or another program there. */
    const eru = (...words: string[]): Promise<RunResult> =>
      runOk(...on('one', process.execPath, command, ...words, '--data', app.data), { timeoutMs: 60_000 });
    const net = async (...words: string[]): Promise<string> => (await eru('net', ...words)).stdout;
    const elsewhere = async (...words: string[]): Promise<string> =>
      (
        await runOk(
          ...on('two', process.execPath, command, 'net', ...words, '--socket', path.join(folder, 'netd.sock')),
        )
      ).stdout;
    const up = (): Promise<RunResult> =>
      eru(
        'up',
        '--detach',
        '--docker',
        `unix://${dockerd.socket}`,
        '--node',
        'one',
        '--listen',
        '10.77.200.1:0',
        '--store',
        `etcd://${etcd}`,
      );
    const ps = async (): Promise<Listed[]> => JSON.parse((await eru('ps', '-o', 'json')).stdout) as Listed[];
    const addressesOf = async (owner: string): Promise<string[]> =>
      (await net('ip', owner, '--node', 'one', '-o', 'name')).trim().split('\n');
    const deploy = async (name: string, spec: object): Promise<Deployed> => {
      const file = path.join(folder, `${name}.yaml`);
      await writeFile(
        file,
        JSON.stringify({ appname: name, pod: 'default', cpu: 0, memory: '64M', entrypoints: { main: spec } }),
      );
      await eru('deploy', file, '--wait');
      const made = (await ps()).find(({ app: of }) => of === name);
      if (made === undefined) throw new Error(`${name} is not there`);
      return { id: made.id, name: made.name, addresses: await addressesOf(made.name) };
    };
    /** From within a workload. */
    const pings = async (id: string, addresses: readonly string[]): Promise<void> => {
      const script = addresses.map((address) => `ping -c 1 -W 5 ${address}`).join(' && ');
      const words = ['--data', app.data, 'exec', id, '--', 'sh', '-c', script];
      await runOk(...on('one', process.execPath, command, ...words));
    };

    const install = async (...words: string[]): Promise<void> => {
      const { folder: there } = dockerd.machine;
      const files = ['--script', `${there}/eru-oci`, '--daemon-json', `${there}/daemon.json`];
      await net('install-docker', '--docker', dockerd.socket, ...files, ...words);
    };

    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-net-'));
      app = EruUnderTest.on(path.join(folder, 'one'));
      dockerd = await Dockerd.start();
      registry = await startRegistry(dockerd.machine);
      image = `${registry.name}/busybox:1`;
      const docker = ['-H', `unix://${dockerd.socket}`];
      await runOk('docker', [...docker, 'tag', busyboxImage, image]);
      await runOk('docker', [...docker, 'push', image]);
      await runOk('ip', ['netns', 'add', space]);
      await runOk(...on('two', 'ip', 'link', 'set', 'lo', 'up'));
      const [, one = ''] = dockerd.machine.inside;
      for (const cable of ['cable', 'flat'])
        await runOk(...on('two', 'ip', 'link', 'add', cable, 'type', 'veth', 'peer', 'name', cable, 'netns', one));
      for (const [host, address] of [
        ['one', '10.77.200.1/24'],
        ['two', '10.77.200.2/24'],
      ] as const) {
        await runOk(...on(host, 'sysctl', '-qw', 'net.ipv4.ip_forward=1'));
        for (const cable of ['cable', 'flat']) await runOk(...on(host, 'ip', 'link', 'set', cable, 'up'));
        await runOk(...on(host, 'ip', 'address', 'add', address, 'dev', 'cable'));
      }
      const urls = ['--listen-client-urls', `http://${etcd}`, '--advertise-client-urls', `http://${etcd}`];
      const peers = ['--listen-peer-urls', 'http://127.0.0.1:23791', '--unsafe-no-fsync'];
      start('one', 'etcd', '--data-dir', path.join(folder, 'etcd'), ...urls, ...peers);
      await retry(up, { attempts: 40, baseMs: 100, maxMs: 500 });
      const state = ['--data', path.join(folder, 'two'), '--socket', path.join(folder, 'netd.sock')];
      const there = ['--node', 'two', '--address', '10.77.200.2', '--namespaces', path.join(folder, 'netns')];
      start('two', process.execPath, command, 'netd', '--store', `etcd://${etcd}`, ...state, ...there);
      await retry(() => elsewhere('ls'), { attempts: 50, baseMs: 50, maxMs: 200 });
      const other = path.join(folder, 'other');
      const files = ['--data', other, '--socket', `${other}.sock`, '--namespaces', `${other}-netns`];
      const stranger = start('one', process.execPath, command, 'netd', '--docker', dockerd.socket, ...files);
      await retry(() => install('--socket', `${other}.sock`), { attempts: 50, baseMs: 50, maxMs: 200 });
      const exit = once(stranger, 'exit');
      stranger.kill();
      await exit;
      process.kill(dockerd.pid, 'SIGHUP');
    });

    afterAll(async () => {
      await elsewhere('detach', 'far').catch(() => {}); // A test that has failed left it.
      await run(...on('one', process.execPath, command, 'down', '--all', '--data', app.data), { timeoutMs: 60_000 });
      for (const child of children.toReversed()) {
        const exit = once(child, 'exit');
        if (child.exitCode === null && child.kill('SIGTERM')) await exit;
      }
      await run('ip', ['netns', 'delete', space]);
      await dockerd?.remove();
      await rm(folder, { recursive: true, force: true });
    });

    it('a container is refused while the runtime is that of another daemon', async () => {
      await net('create', 'mine', '--subnet', '10.7.0.0/24', '--quarantine', '0s');
      const asked = { network: 'mine', image, commands: ['true'] };
      await expect(deploy('early', asked)).rejects.toThrow(
        /runtime eru .* asks another network daemon, that of .*other/,
      );
      expect(await ps()).toEqual([]);
      expect(JSON.parse(await net('ip', '-o', 'json'))).toEqual([]);
      await net('rm', 'mine');
      await install();
    });

    const setups = {
      routed: ['--driver', 'routed', '--subnet', '10.8.0.0/16', '--subnet', 'fd08::/64'],
      bridge: ['--subnet', '10.9.0.0/16', '--no-masquerade'],
    } as const;

    /** The death of the node daemon. */
    const survivesDeath = async (reach: () => Promise<void>): Promise<void> => {
      const pid = await app.pid();
      process.kill(pid, 'SIGKILL');
      await retry(async () => expect(await run('kill', ['-0', String(pid)])).not.toMatchObject({ code: 0 }));
      await up();
      await reach();
      // Through core, and by its own socket.
      for (const where of [['--node', 'one'], []]) expect(await net('diag', ...where, '-o', 'json')).toBe('[]\n');
    };

    /** A stop, other limits, and a replace by one that is started before the old one stops. */
    const keepsAddresses = async ({ id, name, addresses }: Deployed, app: string): Promise<void> => {
      await eru('stop', '--force', id);
      expect(JSON.parse(await net('ip', name, '-o', 'json'))).toMatchObject([{ state: 'reserved' }]);
      await eru('start', id);
      await eru('realloc', id, '--memory', '96M');
      await eru('replace', path.join(folder, `${app}.yaml`), '--overlap');
      const next = (await ps()).find(({ app: of }) => of === app);
      expect(next?.id).not.toBe(id);
      expect(Object.values(next?.addresses ?? {})).toEqual([addresses]);
      const hosts = [addresses[0], `[${addresses[1]}]`];
      const [published = ''] = Object.values(next?.publish ?? {});
      expect(published.split(',').map((one) => one.replace(/:80[08]0$/, ''))).toEqual(hosts);
    };

    it.each(Object.keys(setups) as (keyof typeof setups)[])(
      'a process, a container and a workload of another host reach each other over a %s network',
      async (driver) => {
        const network = `net-${driver}`;
        await net('create', network, ...setups[driver], '--quarantine', '0s', '--rate', '8M');
        const pins = driver === 'routed' ? ['10.8.0.77', 'fd08::77'] : ['10.9.0.77'];
        const served = await deploy(`server-${driver}`, {
          network: `${network}=${pins.join(',')}`,
          commands: ['${NODE}', '-e', server],
          publish: ['8000'],
          healthcheck: { tcp_ports: ['8000'] },
          restart: 'always',
        });
        const tree = path.join(folder, `tree-${driver}`);
        await mkdir(tree);
        await busyboxTree(tree);
        expect(served.addresses).toEqual(pins);
        const container = await deploy(`container-${driver}`, {
          network,
          root: tree,
          commands: ['/bin/sleep', '1000'],
        });
        const dockers = await deploy(`docker-${driver}`, {
          network,
          image,
          commands: ['sh', '-c', 'trap exit TERM; httpd -p 8080 -h /etc; sleep 1000 & wait'],
          publish: ['8080'],
          healthcheck: { tcp_ports: ['8080'] },
        });
        const far = (await elsewhere('attach', 'far', '--network', network, '--fixed')).trim();
        const [farAddress = ''] = (await elsewhere('ip', 'far', '-o', 'name')).trim().split('\n');
        if (driver === 'bridge')
          for (const host of ['one', 'two'] as const)
            await runOk(...on(host, 'ip', 'link', 'set', 'flat', 'master', `eru-${network}`));
        const fromFar = (...words: string[]): Promise<RunResult> => runOk('nsenter', [`--net=${far}`, ...words]);
        const reach = async (): Promise<void> => {
          // Routes to the other host are set when its news have come.
          await retry(() => fromFar('ping', '-c', '1', '-W', '1', pins[0] ?? ''), { attempts: 20, baseMs: 100 });
          for (const { addresses } of [container, dockers])
            await fromFar('ping', '-c', '1', '-W', '5', addresses[0] ?? '');
          const all = [served, container, dockers];
          for (const one of all)
            await pings(one.id, [farAddress, ...all.flatMap((other) => (other === one ? [] : other.addresses))]);
        };
        await reach();
        // Published on its host, and no faster than its network lets it be.
        const curl = ['curl', '-s', '--max-time', '10'];
        expect((await runOk(...on('two', ...curl, 'http://10.77.200.1:8000/'))).stdout).toBe('here');
        expect((await runOk(...on('two', ...curl, 'http://10.77.200.1:8080/passwd'))).stdout).toContain('root');
        expect((await runOk(...on('one', 'tc', 'qdisc', 'show'))).stdout).toMatch(/qdisc tbf .* rate 8Mbit/);

        if (driver === 'routed') {
          await survivesDeath(reach);
          await keepsAddresses(served, `server-${driver}`);
          await keepsAddresses(dockers, `docker-${driver}`);
          for (const { addresses } of [served, dockers])
            await fromFar('ping', '-c', '1', '-W', '5', addresses[0] ?? '');
          expect((await runOk(...on('one', ...curl, 'http://[fd08::77]:8000/'))).stdout).toBe('here');
        }
        const ids = (await ps()).map(({ id }) => id);
        await eru('rm', '--force', ...ids);
        await elsewhere('detach', 'far');
        await elsewhere('release', 'far');
        expect(JSON.parse(await net('ip', '--node', 'one', '-o', 'json'))).toEqual([]);
        await net('rm', network);
        expect((await runOk(...on('one', 'iptables', '-w', '-t', 'nat', '-S'))).stdout).not.toMatch(/ 10\.[89]\./);
      },
      240_000,
    );
  },
);
