import { chmod, mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, runOk } from '@eru/kit';
import { Allocator, ipamScript } from '@eru/network';
import { openEmbeddedStore, openEtcdStore, type Store } from '@eru/store';
import { EtcdProcess } from '@eru/store/etcd-process';

import { containerStarts } from './container-starts.ts';
import { proxyRows } from './proxy.ts';
import { quantile, type Bench, type Row } from './table.ts';

/** How long an address takes: to be reserved and bound on each store, to be on an interface, and through the IPAM plugin; what the Docker proxy costs. */
export const networkBench: Bench = {
  name: 'network',
  async run({ quick }) {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    try {
      const rows: Row[] = [];
      rows.push(...(await embeddedRows('embedded', folder, quick)));
      // Without a disk's share: what is ours.
      const memory = await mkdtemp('/dev/shm/eru-bench-').catch(() => undefined);
      if (memory !== undefined) {
        rows.push(...(await embeddedRows('embedded, on /dev/shm', memory, quick)));
        await rm(memory, { recursive: true, force: true });
      }
      const etcd = await EtcdProcess.start().catch(() => undefined);
      if (etcd === undefined) process.stderr.write('no etcd here: apt-get install -y etcd-server\n');
      else {
        const store = await openEtcdStore({ endpoints: [etcd.endpoint] });
        rows.push(...(await allocation('etcd', store, folder, quick, 20)));
        await store.close();
        await etcd.remove();
      }
      rows.push(...(await attachments(folder, quick)), ...(await containerStarts(folder, quick)));
      return [...rows, ...(await proxyRows(folder, quick))];
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
};

async function embeddedRows(name: string, folder: string, quick: boolean): Promise<Row[]> {
  const store = await openEmbeddedStore({ folder: path.join(folder, 'store') });
  const rows = await allocation(name, store, folder, quick, 5);
  await store.close();
  return rows;
}

/** Of a daemon that has been there for a while: the first are not counted. */
const warming = 200;

/** Beside each reservation the bare disk: what it takes, no store that loses nothing can be faster than. */
async function allocation(name: string, store: Store, folder: string, quick: boolean, target: number): Promise<Row[]> {
  const allocator = await Allocator.open({ store, node: 'bench' });
  await allocator.putPool({ name: 'p', cidr: '10.8.0.0/16' });
  const file = await open(path.join(folder, 'bare'), 'a');
  const samples: number[] = [];
  const bare: number[] = [];
  const timed = async (into: number[], work: () => Promise<unknown>): Promise<void> => {
    const begun = performance.now();
    await work();
    into.push(performance.now() - begun);
  };
  for (let index = 0; index < warming + (quick ? 100 : 1000); index++) {
    await timed(samples, () =>
      allocator.reserve({
        owner: `w${index}`,
        ifname: 'eth0',
        kind: 'process',
        network: 'net',
        pools: ['p'],
        mac: 'auto',
        ports: [{ containerPort: 80, hostPort: 1024 + index }],
      }),
    );
    await timed(bare, async () => {
      await file.write(Buffer.alloc(4096));
      await file.datasync();
    });
  }
  await file.close();
  allocator.close();
  const [warm, disk] = [samples.slice(warming), bare.slice(warming)];
  const what = `reserve address, MAC and port, ${name}`;
  const beside = `append 4 KiB and fdatasync, beside ${name}`;
  const row = (of: string, aspect: string, value: number): Row => ({
    bench: 'network',
    what: of,
    aspect,
    value,
    unit: 'ms',
  });
  return [
    row(what, 'median', quantile(warm, 0.5)),
    { ...row(what, 'p99', quantile(warm, 0.99)), better: 'less', target },
    { ...row(what, 'medians compared', quantile(warm, 0.5) / quantile(disk, 0.5)), unit: '× the bare flush' },
    row(beside, 'median', quantile(disk, 0.5)),
    row(beside, 'p99', quantile(disk, 0.99)),
  ];
}

/** On a host of its own: its namespaces and rules fall with the process. */
const host =
  'mount -t tmpfs tmpfs /run && mkdir /run/netns && mount -t sysfs sysfs /sys && ip link set lo up && exec "$0" --input-type=module -e "$@"';

const program = `
  const { openNetd, serveNetd, serveIpam, Cni, parseNetworkList } = await import(process.argv[1]);
  const { run, runOk, silentLogger } = await import(process.argv[2]);
  const [folder, rounds] = [process.argv[3], Number(process.argv[4])];
  const pluginFolders = ['/opt/cni/bin', '/usr/lib/cni', folder];
  const netd = await openNetd({ folder: folder + '/netd', node: 'bench' });
  const at = { socket: folder + '/netd.sock', logger: silentLogger };
  const served = [await serveNetd(netd, at), await serveIpam(netd, at)];
  await netd.putPool({ name: 'p', cidr: '10.8.0.0/16', quarantineMs: 0 });
  await netd.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
  const samples = {};
  const timed = async (what, work) => {
    const begun = performance.now();
    const value = await work();
    (samples[what] ??= []).push(performance.now() - begun);
    return value;
  };
  const cni = new Cni({ pluginFolders, cacheFolder: folder + '/cache' });
  const bridge = (ipam) => parseNetworkList(JSON.stringify({ cniVersion: '1.0.0', name: 'other', plugins: [{ type: 'bridge', bridge: 'br1', ipam }] }), 'bench');
  const lists = {
    'static': await bridge({ type: 'static', addresses: [{ address: '10.9.0.5/24' }] }),
    'eru-ipam': await bridge({ type: 'eru-ipam', pools: ['p'] }),
  };
  await runOk('ip', ['netns', 'add', 'bench']);
  for (let round = 0; round < rounds; round++) {
    const id = 'w' + round;
    await timed('attach with one address', () => netd.attach({ id, kind: 'process', policy: 'fixed', networks: [{ network: 'net' }] }));
    await timed('detach', () => netd.detach({ id }));
    for (const [name, list] of Object.entries(lists)) {
      const key = { network: 'other', containerId: 'c' + round, ifname: 'eth0' };
      await timed('bridge with ' + name + ', ADD', () => cni.add(list, { ...key, netns: '/run/netns/bench' }));
      await timed('bridge with ' + name + ', DEL', () => cni.del(key));
    }
  }
  for (const one of served) await one.close();
  await netd.close();
  console.log(JSON.stringify(samples));
  process.exit();
`;

async function attachments(folder: string, quick: boolean): Promise<Row[]> {
  const plugins = await run('ls', ['/usr/lib/cni/bridge', '/opt/cni/bin/bridge']);
  if (plugins.stdout === '' || process.getuid?.() !== 0) {
    process.stderr.write(
      'no root or no CNI plugins here: apt-get install -y containernetworking-plugins iptables iproute2\n',
    );
    return [];
  }
  const plugin = path.join(folder, 'eru-ipam');
  await writeFile(plugin, ipamScript(path.join(folder, 'netd.sock')));
  await chmod(plugin, 0o755);
  const modules = ['@eru/network', '@eru/kit'].map((name) => import.meta.resolve(name));
  const words = [
    '--net',
    '--mount',
    '--propagation',
    'private',
    'sh',
    '-ec',
    host,
    process.execPath,
    program,
    ...modules,
    folder,
    quick ? '5' : '40',
  ];
  const { stdout } = await runOk('unshare', words, { timeoutMs: 120_000 });
  const samples = JSON.parse(stdout) as Record<string, number[]>;
  return Object.entries(samples).flatMap(([what, values]): Row[] => [
    { bench: 'network', what, aspect: 'min', value: Math.min(...values), unit: 'ms' },
    { bench: 'network', what, aspect: 'median', value: quantile(values, 0.5), unit: 'ms' },
  ]);
}
