import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import type { ErrorCode } from '@eru/kit';
import { runOk } from '@eru/kit';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { all, Bench, refused } from '../contract/bench.suite.ts';
import type { EngineParams, WorkloadSpec } from '../engine.ts';
import { connectDocker } from './connect.ts';

const serve = ['sleep', '1000'];
const kinds = (cpumem: EngineParams[string], storage: EngineParams[string] = {}): EngineParams => ({ cpumem, storage });

interface Golden {
  ask: Partial<WorkloadSpec>;
  /** Parts of what `docker inspect` says. */
  inspect?: object;
  /** Files of its cgroup (version 1) and what they hold. */
  files?: Readonly<Record<string, string>>;
}

/** A whole disk of this machine, by its path and by the kernel's number. */
const disk = (() => {
  const name = readdirSync('/sys/block').find((name) => !/^(loop|ram|zram|dm-|md)/.test(name)) ?? 'loop0';
  return { path: `/dev/${name}`, number: readFileSync(`/sys/block/${name}/dev`, 'utf8').trim() };
})();

const golden: Readonly<Record<string, Golden>> = {
  'nothing beyond an image': {
    ask: {},
    inspect: {
      HostConfig: { CpuShares: 1024, Memory: 0, NetworkMode: 'bridge', Privileged: false, PidsLimit: null },
      Config: { OpenStdin: false, Tty: false, User: '' },
    },
    files: { 'cpu/cpu.cfs_quota_us': '-1', 'pids/pids.max': 'max' },
  },
  'cores as a limit': {
    ask: { engineParams: kinds({ cpu: 0.5 }) },
    inspect: { HostConfig: { CpuQuota: 50_000, CpuPeriod: 100_000, CpuShares: 1024 } },
    files: { 'cpu/cpu.cfs_quota_us': '50000', 'cpu/cpu.cfs_period_us': '100000' },
  },
  'bound cores': {
    ask: { engineParams: kinds({ cpu: 1, cpu_map: { 1: 100 }, numa_node: '0' }) },
    inspect: { HostConfig: { CpuQuota: -1, CpusetCpus: '1', CpusetMems: '0', CpuShares: 1024 } },
    files: { 'cpuset/cpuset.cpus': '1', 'cpuset/cpuset.mems': '0', 'cpu/cpu.cfs_quota_us': '-1' },
  },
  'a part of a bound core': {
    ask: { engineParams: kinds({ cpu: 1.25, cpu_map: { 0: 100, 1: 25 } }) },
    inspect: { HostConfig: { CpuQuota: -1, CpusetCpus: '0,1', CpuShares: 256 } },
    files: { 'cpuset/cpuset.cpus': '0-1', 'cpu/cpu.shares': '256' },
  },
  'a pool that is shared': {
    ask: { engineParams: kinds({ cpu: 0.5, cpu_map: { 0: 0 }, remap: true }) },
    inspect: { HostConfig: { CpuQuota: 50_000, CpusetCpus: '0', CpuShares: 1024 } },
    files: { 'cpuset/cpuset.cpus': '0', 'cpu/cpu.cfs_quota_us': '50000' },
  },
  memory: {
    ask: { engineParams: kinds({ memory: 64 * 1024 ** 2 }) },
    inspect: { HostConfig: { Memory: 67_108_864, MemorySwap: 67_108_864, MemoryReservation: 33_554_432 } },
    files: { 'memory/memory.limit_in_bytes': '67108864', 'memory/memory.soft_limit_in_bytes': '33554432' },
  },
  processes: { ask: { pids: 64 }, inspect: { HostConfig: { PidsLimit: 64 } }, files: { 'pids/pids.max': '64' } },
  'volumes and mounts': {
    ask: {
      env: ['WHERE=/tmp'],
      mounts: [{ source: '/etc', target: '/host-etc', readOnly: true }],
      engineParams: kinds({}, { volumes: ['$WHERE${ERU_NODE_IP}$ERU_NODE_IP:/data:rw:1G', '/var/tmp:/more:ro'] }),
    },
    inspect: { HostConfig: { Binds: ['/etc:/host-etc:ro', '/tmp:/data:rw', '/var/tmp:/more:ro'] } },
  },
  'IO limits': {
    ask: { engineParams: kinds({}, { iops_options: { [disk.path]: '100:200:10M:20M' } }) },
    inspect: {
      HostConfig: {
        BlkioDeviceReadIOps: [{ Path: disk.path, Rate: 100 }],
        BlkioDeviceWriteIOps: [{ Path: disk.path, Rate: 200 }],
        BlkioDeviceReadBps: [{ Path: disk.path, Rate: 10_485_760 }],
        BlkioDeviceWriteBps: [{ Path: disk.path, Rate: 20_971_520 }],
      },
    },
    files: {
      'blkio/blkio.throttle.read_iops_device': `${disk.number} 100`,
      'blkio/blkio.throttle.write_iops_device': `${disk.number} 200`,
      'blkio/blkio.throttle.read_bps_device': `${disk.number} 10485760`,
      'blkio/blkio.throttle.write_bps_device': `${disk.number} 20971520`,
    },
  },
  'a network with a wanted address': {
    ask: { networks: { extra: '172.31.7.7' } },
    inspect: {
      HostConfig: { NetworkMode: 'extra' },
      NetworkSettings: { Networks: { extra: { IPAddress: '172.31.7.7', IPAMConfig: { IPv4Address: '172.31.7.7' } } } },
    },
  },
  'a network with wanted addresses of both families': {
    ask: { networks: { extra: '172.31.7.9,fd31::9' } },
    inspect: { NetworkSettings: { Networks: { extra: { IPAddress: '172.31.7.9', GlobalIPv6Address: 'fd31::9' } } } },
  },
  'two networks': {
    ask: { networks: { bridge: '', extra: '172.31.7.8' } },
    inspect: {
      HostConfig: { NetworkMode: 'bridge' },
      NetworkSettings: { Networks: { bridge: {}, extra: { IPAddress: '172.31.7.8' } } },
    },
  },
  "the host's network, which has its own names": {
    ask: { networks: { host: '' }, dns: ['10.0.0.1'], sysctls: { 'net.ipv4.ip_forward': '1' }, publish: ['8080'] },
    inspect: { HostConfig: { NetworkMode: 'host', Dns: [], PortBindings: {} } },
  },
  'published ports': {
    ask: { publish: ['8081'] },
    inspect: { HostConfig: { PortBindings: { '8081/tcp': [{ HostIp: '', HostPort: '8081' }] } } },
  },
  'names and kernel parameters': {
    ask: { dns: ['10.0.0.1'], extraHosts: ['db:10.0.0.2'], sysctls: { 'net.ipv4.ip_forward': '1' } },
    inspect: {
      HostConfig: { Dns: ['10.0.0.1'], ExtraHosts: ['db:10.0.0.2'], Sysctls: { 'net.ipv4.ip_forward': '1' } },
    },
  },
  ulimits: {
    ask: { ulimits: { nofile: { soft: 100, hard: 200 } } },
    inspect: { HostConfig: { Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 200 }] } },
  },
  'its log': {
    ask: { log: { type: 'json-file', config: { 'max-size': '1m' } } },
    inspect: {
      HostConfig: {
        LogConfig: {
          Type: 'json-file',
          Config: { mode: 'non-blocking', 'max-buffer-size': '4m', tag: expect.any(String), 'max-size': '1m' },
        },
      },
    },
  },
  'a restart policy': {
    ask: { restart: { type: 'on-failure', retries: 3 } },
    inspect: { HostConfig: { RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } } },
  },
  'user, folder, stop signal and a terminal': {
    ask: { user: '1000:1000', dir: '/tmp', stopSignal: 'SIGINT', stdin: true },
    inspect: { Config: { User: '1000:1000', WorkingDir: '/tmp', StopSignal: 'SIGINT', OpenStdin: true, Tty: true } },
  },
  'raw arguments': {
    ask: {
      rawArgs: Buffer.from(
        JSON.stringify({ pid_mod: 'host', cap_add: ['NET_ADMIN'], cap_drop: ['CHOWN'], runtime: 'runc' }),
      ),
    },
    inspect: { HostConfig: { PidMode: 'host', CapAdd: ['NET_ADMIN'], CapDrop: ['CHOWN'], Runtime: 'runc' } },
  },
};

describeAsRoot(['docker', 'busybox'], 'docker: what a deploy asks and what a container is', () => {
  let dockerd: Dockerd;
  let bench: Bench;
  const docker = async (...args: string[]): Promise<string> =>
    (await runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args])).stdout;

  beforeAll(async () => {
    dockerd = await Dockerd.start();
    await docker('network', 'create', '--ipv6', '--subnet', '172.31.0.0/16', '--subnet', 'fd31::/64', 'extra');
    const engine = connectDocker(`unix://${dockerd.socket}`);
    bench = new Bench(engine, { spec: { image: busyboxImage, networks: {} } });
  });
  afterEach(() => bench.clear());
  afterAll(async () => {
    await bench?.engine.close();
    await dockerd?.remove();
  });

  const cgroup = (id: string, file: string): string => {
    const [controller = '', name = ''] = file.split('/');
    return readFileSync(path.join('/sys/fs/cgroup', controller, dockerd.machine.cgroup, id, name), 'utf8').trim();
  };

  for (const [name, { ask, inspect = {}, files = {} }] of Object.entries(golden)) {
    it(name, async () => {
      const { id } = await bench.created(serve, ask);
      await bench.engine.start(id);
      const [said] = JSON.parse(await docker('inspect', id)) as object[];
      expect(said).toMatchObject(inspect);
      expect(Object.fromEntries(Object.keys(files).map((file) => [file, cgroup(id, file)]))).toEqual(files);
    });
  }

  it('privileged', async () => {
    const { id } = await bench.created(serve, { privileged: true });
    const [said] = JSON.parse(await docker('inspect', id)) as object[];
    expect(said).toMatchObject({ HostConfig: { Privileged: true, CapAdd: ['SYS_ADMIN'] } });
  });

  it('its environment is what was asked, and where it runs', async () => {
    const { id, ports } = await bench.created(serve, { env: ['A=1'], publish: ['http'] });
    const [said] = JSON.parse(await docker('inspect', id)) as { Config: { Env: string[] } }[];
    expect(said?.Config.Env).toEqual(expect.arrayContaining(['A=1', 'ERU_NODE_IP=', `ERU_PORT_HTTP=${ports['http']}`]));
  });

  it('a live change is read back from the kernel, and takes limits away', async () => {
    const { id } = await bench.created(serve, { engineParams: kinds({ cpu: 0.5, memory: 64 * 1024 ** 2 }), pids: 50 });
    await bench.engine.start(id);
    const bound = await bench.engine.update(id, kinds({ cpu: 1, cpu_map: { 1: 100 }, memory: 32 * 1024 ** 2 }));
    expect(bound.limits.effective).toEqual({ cpuset: [1], memoryBytes: 32 * 1024 ** 2, pids: 50 });
    expect(cgroup(id, 'cpuset/cpuset.cpus')).toBe('1');
    expect(cgroup(id, 'cpu/cpu.cfs_quota_us')).toBe('-1');
    const free = await bench.engine.update(id, {});
    expect(free.limits.requested).toEqual({ pids: 50 });
    expect(Number(cgroup(id, 'memory/memory.limit_in_bytes'))).toBeGreaterThan(2 ** 50);
  });

  it('a name without a value is refused, which volumes might ask for', async () => {
    const volumes = kinds({}, { volumes: ['$BARE:/data:rw:1G'] });
    await refused(bench.created(serve, { env: ['BARE'], engineParams: volumes }), 'invalid');
  });

  it('what docker cannot do is refused as docs/engines.md says', async () => {
    const { engine } = bench;
    const iops = { iops_options: { [disk.path]: '100:0:0:0' } };
    const { id } = await bench.created(serve);
    const quiet = await bench.created(serve, { log: { type: 'none', config: {} } });
    const refusals: Readonly<Record<string, [ErrorCode, () => Promise<unknown>]>> = {
      'no image': ['invalid', () => bench.created(serve, { image: '' })],
      "a root folder, or an overlay of the host's root": [
        'unsupported',
        () => bench.created(serve, { root: { type: 'host', writable: true } }),
      ],
      'memory below 4 MiB': ['invalid', () => bench.created(serve, { engineParams: kinds({ memory: 1000 }) })],
      'storage beyond the volumes': [
        'unsupported',
        () => bench.created(serve, { engineParams: kinds({}, { storage: 2 ** 30 }) }),
      ],
      'live change of volumes': ['unsupported', () => engine.update(id, kinds({}, { volume_changed: true }))],
      'live change of IO limits': ['unsupported', () => engine.update(id, kinds({}, iops))],
      'raw operations': ['unsupported', () => engine.raw(id, 'snapshot', new Uint8Array())],
      'log drivers that cannot be read back (`none`, `syslog`, …)': ['unsupported', () => all(engine.logs(quiet.id))],
    };
    const page = await readFile(path.join(import.meta.dirname, '../../../../docs/engines.md'), 'utf8');
    const docs = page.slice(page.indexOf('## Where engines differ'));
    const present = await engine.list();
    for (const [what, [code, call]] of Object.entries(refusals)) {
      await refused(call(), code);
      const row = docs.split('\n').find((line) => line.startsWith(`| ${what} `));
      expect(row, what).toContain(`\`${code}\``);
    }
    expect(await engine.list()).toEqual(present);
  });
});
