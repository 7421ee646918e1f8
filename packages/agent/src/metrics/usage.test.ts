import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, expect, test } from 'vitest';

import { cgroupMounts, groupFolders, readGroups } from './cgroup-usage.ts';
import { Families } from './exposition.ts';
import { originalSeries } from './original-series.ts';
import { parseNetDev } from './proc-files.ts';
import { statsdLines } from './statsd.ts';
import type { Usage } from './usage.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'eru-agent-usage-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

/** Files below the root, with `@` for the root in their text. */
async function machine(files: Readonly<Record<string, string>>): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(root, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text.replaceAll('@', root));
  }
  return path.join(root, 'proc');
}

const diskName = (device: string): string => (device === '8:0' ? '/dev/sda' : device);

test('version 2 of control groups is read from its one folder', async () => {
  const proc = await machine({
    'proc/self/mountinfo': '30 23 0:26 / @/cg rw,nosuid - cgroup2 cgroup2 rw\n',
    'proc/self/cgroup': '0::/system.slice/agent.service\n',
    'proc/7/cgroup': '0::/eru/x\n',
    'cg/eru/x/cpu.stat':
      'usage_usec 3500000\nuser_usec 2000000\nsystem_usec 1500000\nnr_periods 10\nnr_throttled 4\nthrottled_usec 250000\n',
    'cg/eru/x/cpu.max': '150000 100000\n',
    'cg/eru/x/memory.current': '5000\n',
    'cg/eru/x/memory.peak': '6000\n',
    'cg/eru/x/memory.max': 'max\n',
    'cg/eru/x/memory.stat': 'anon 3000\nfile 2000\ninactive_file 1200\n',
    'cg/eru/x/memory.events': 'low 0\nhigh 0\nmax 2\noom 1\noom_kill 1\n',
    'cg/eru/x/pids.current': '3\n',
    'cg/eru/x/io.stat': '8:0 rbytes=100 wbytes=200 rios=3 wios=4 dbytes=0 dios=0\n',
    'cg/eru/x/cpu.pressure': 'some avg10=0.00 avg60=0.00 avg300=0.00 total=500000\nfull avg10=0.00 total=250000\n',
  });
  expect(readGroups(groupFolders(proc, 7, cgroupMounts(proc)), diskName)).toEqual({
    cpu: { seconds: 3.5, user: 2, system: 1.5, periods: 10, throttledPeriods: 4, throttledSeconds: 0.25, limit: 1.5 },
    memory: { usage: 5000, workingSet: 3800, peak: 6000, rss: 3000, oomKills: 1 },
    pids: 3,
    pressure: { cpu: { some: 0.5, full: 0.25 } },
    disks: { '/dev/sda': { readBytes: 100, writeBytes: 200, reads: 3, writes: 4 } },
  });
});

test('version 1 is read from a folder for each controller, also where the mount shows only a part of the tree', async () => {
  const proc = await machine({
    'proc/self/mountinfo':
      '31 24 0:27 / @/cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n' +
      '32 24 0:28 /docker/host @/cg/memory rw - cgroup cgroup rw,memory\n' +
      '33 24 0:29 / @/cg/blkio rw - cgroup cgroup rw,blkio\n',
    'proc/self/cgroup': '4:cpu,cpuacct:/\n3:memory:/docker/host\n',
    'proc/7/cgroup': '5:blkio:/eru/x\n4:cpu,cpuacct:/eru/x\n3:memory:/docker/host/eru/x\n2:pids:/eru/x\n',
    'cg/cpu/eru/x/cpuacct.usage': '3500000000\n',
    'cg/cpu/eru/x/cpuacct.stat': 'user 200\nsystem 150\n',
    'cg/cpu/eru/x/cpu.stat': 'nr_periods 10\nnr_throttled 4\nthrottled_time 250000000\n',
    'cg/cpu/eru/x/cpu.cfs_quota_us': '-1\n',
    'cg/cpu/eru/x/cpu.cfs_period_us': '100000\n',
    'cg/memory/eru/x/memory.usage_in_bytes': '5000\n',
    'cg/memory/eru/x/memory.max_usage_in_bytes': '6000\n',
    'cg/memory/eru/x/memory.limit_in_bytes': '8000\n',
    'cg/memory/eru/x/memory.stat': 'rss 1\ntotal_rss 3000\ntotal_inactive_file 1200\n',
    'cg/memory/eru/x/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 2\n',
    'cg/blkio/eru/x/blkio.throttle.io_service_bytes': '8:0 Read 100\n8:0 Write 200\n8:0 Total 300\nTotal 300\n',
    'cg/blkio/eru/x/blkio.throttle.io_serviced': '8:0 Read 3\n8:0 Write 4\n',
  });
  expect(readGroups(groupFolders(proc, 7, cgroupMounts(proc)), diskName)).toEqual({
    cpu: { seconds: 3.5, user: 2, system: 1.5, periods: 10, throttledPeriods: 4, throttledSeconds: 0.25 },
    memory: { usage: 5000, workingSet: 3800, peak: 6000, rss: 3000, limit: 8000, oomKills: 2 },
    disks: { '/dev/sda': { readBytes: 100, writeBytes: 200, reads: 3, writes: 4 } },
  });
});

test('a group that the agent shares is not the workload’s', async () => {
  const proc = await machine({
    'proc/self/mountinfo': '30 23 0:26 / @/cg rw,nosuid - cgroup2 cgroup2 rw\n',
    'proc/self/cgroup': '0::/user.slice\n',
    'proc/7/cgroup': '0::/user.slice\n',
    'proc/8/cgroup': '0::/\n',
  });
  expect([7, 8, 9].map((pid) => groupFolders(proc, pid, cgroupMounts(proc)))).toEqual([{}, {}, {}]);
});

const nic = (bytes: number) => ({
  rxBytes: bytes,
  rxPackets: 1,
  rxErrors: 0,
  rxDropped: 0,
  txBytes: 2 * bytes,
  txPackets: 2,
  txErrors: 0,
  txDropped: 0,
});

const before: Usage = {
  atMs: 0,
  cpu: { seconds: 1, user: 1, system: 0, limit: 0.5 },
  memory: { usage: 100, workingSet: 80, rss: 50, peak: 120, limit: 400 },
  nics: { eth0: nic(1000) },
  disks: { '/dev/sda': { readBytes: 0, writeBytes: 10, reads: 0, writes: 1 } },
};
const now: Usage = {
  ...before,
  atMs: 10_000,
  cpu: { seconds: 3, user: 2, system: 1, limit: 0.5 },
  nics: { eth0: nic(3000), eth1: nic(1) },
  disks: { '/dev/sda': { readBytes: 0, writeBytes: 110, reads: 0, writes: 11 } },
};
const host = { cpus: 4, memoryBytes: 1000, userTicks: 1000, systemTicks: 0 };

test('the original’s gauges are what a step has changed', () => {
  const values = originalSeries(before, now, host).map(({ name, label, value }) => [
    label === undefined ? name : `${name}{${label.value}}`,
    value,
  ]);
  expect(Object.fromEntries(values)).toMatchObject({
    cpu_host_usage: 2 / 40,
    cpu_container_usage: 2 / 5,
    cpu_host_user_usage: 0.1,
    cpu_host_sys_usage: 0,
    cpu_container_user_usage: 0.5,
    cpu_container_sys_usage: 0.5,
    mem_usage: 100,
    mem_max_usage: 120,
    mem_rss: 50,
    mem_percent: 0.25,
    mem_rss_percent: 0.125,
    'bytes_recv{eth0}': 200,
    'bytes_send{eth0}': 400,
    'io_service_bytes_write{/dev/sda}': 110,
    'io_service_bytes_write_per_second{/dev/sda}': 10,
    'io_serviced_write_per_second{/dev/sda}': 1,
  });
  expect(values.some(([name]) => String(name).includes('eth1'))).toBe(false);
  expect(originalSeries(before, { ...now, cpu: undefined, memory: undefined } as never, host)).toHaveLength(16);
});

test('statsd gets gauges under the original’s names', () => {
  const of = { id: 'abcdef0123456789', node: 'n1.example', app: 'shop', entrypoint: 'web' };
  expect(
    statsdLines(of, [
      { name: 'cpu_host_usage', value: 0.5 },
      { name: 'bytes_send', label: { name: 'nic', value: 'eth0' }, value: -3 },
      { name: 'io_serviced_read', label: { name: 'dev', value: '/dev/sda' }, value: 1e-7 },
    ]),
  ).toEqual([
    'ERU.shop.web.n1-example.3456789.cpu_host_usage:0.5|g',
    'ERU.shop.web.n1-example.3456789.eth0.bytes.sent:0|g',
    'ERU.shop.web.n1-example.3456789.eth0.bytes.sent:-3|g',
    'ERU.shop.web.n1-example.3456789./dev/sda.io_serviced_read:0.0000001|g',
  ]);
});

test('interfaces are read but loopback, and labels are escaped', () => {
  const text = `Inter-|   Receive |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
`;
  expect(parseNetDev(text)).toEqual({
    eth0: {
      rxBytes: 1000,
      rxPackets: 10,
      rxErrors: 1,
      rxDropped: 2,
      txBytes: 2000,
      txPackets: 20,
      txErrors: 3,
      txDropped: 4,
    },
  });
  const families = new Families();
  families.add({ name: 'a', type: 'gauge', help: 'h' }, { l: 'x"y\\\n' }, 1);
  families.add({ name: 'b_total', type: 'counter', help: 'h' }, {}, 2);
  families.add({ name: 'a', type: 'gauge', help: 'h' }, { l: 'z' }, undefined);
  expect(families.text()).toBe(
    '# HELP a h\n# TYPE a gauge\na{l="x\\"y\\\\\\n"} 1\n# HELP b_total h\n# TYPE b_total counter\nb_total 2\n',
  );
});
