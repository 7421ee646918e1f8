import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { runOk } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestHost } from '../host.suite.ts';
import { declaredFolder } from '../netd/intents.ts';
import { NetdProcess } from '../netd/netd.suite.ts';
import { runtimeFolder, runtimeScript } from './runtime-script.ts';

/** As this machine has them, but for version 2 beside version 1: crun will not have both (network.md section 6.4). */
const mountCgroups = `
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then exit 0; fi
if grep -q '^0::' /proc/self/cgroup && [ "$(wc -l </proc/self/cgroup)" = 1 ]; then
  exec mount -t cgroup2 cgroup /sys/fs/cgroup
fi
mount -t tmpfs cgroup /sys/fs/cgroup
cut -d: -f2 /proc/self/cgroup | grep . | while read -r names; do
  folder=/sys/fs/cgroup/\${names#name=}
  mkdir "$folder"
  case $names in name=*) names=none,$names ;; esac
  mount -t cgroup -o "$names" cgroup "$folder"
done`;

/** Users of its own: root in it is nobody outside. */
const users = {
  namespaces: [{ type: 'user' }],
  uidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }],
  gidMappings: [{ containerID: 0, hostID: 100_000, size: 65_536 }],
};

describeAsRoot(['runc', 'crun', 'busybox', 'cni', 'ip', 'iptables'], 'the runtime script before real runtimes', () => {
  let host: TestHost;
  let netd: NetdProcess;
  beforeAll(async () => {
    host = await TestHost.start();
    await host.ok('sh', '-ec', mountCgroups);
    netd = await NetdProcess.start(host, { containers: true });
    await netd.service.putPool({ name: 'p', cidr: '10.9.0.0/24', quarantineMs: 0 });
    await netd.service.putPool({ name: 'six', cidr: 'fd09::/64', quarantineMs: 0 });
    await netd.service.putNetwork({ name: 'net', driver: 'bridge', pools: ['p', 'six'] });
    await mkdir(path.join(host.folder, 'rootfs/bin'), { recursive: true });
    for (const name of ['proc', 'dev']) await mkdir(path.join(host.folder, 'rootfs', name));
    await copyFile('/bin/busybox', path.join(host.folder, 'rootfs/bin/busybox'));
    // Who has users of its own comes in as nobody.
    await chmod(host.folder, 0o755);
  });
  afterAll(async () => {
    await netd?.kill();
    await host?.stop();
  });

  it.each(
    ['runc', 'crun'].flatMap((runtime) => [
      { runtime, whose: 'the host’s users', linux: { namespaces: [] as { type: string }[] } },
      { runtime, whose: 'users of its own, by hooks', linux: users },
    ]),
  )('$runtime, with $whose: a fixed address of each family, kept over a stop; nothing else is left', async (kind) => {
    const { folder } = host;
    const found = (await runOk('sh', ['-c', 'command -v "$0"', kind.runtime])).stdout.trim();
    const script = path.join(folder, `eru-${kind.runtime}`);
    const text = runtimeScript({
      runtime: found,
      calls: runtimeFolder(path.join(folder, 'netd.sock')),
      declared: declaredFolder(path.join(folder, 'netd')),
      namespaces: '/run/eru/netns',
      dockerContainers: path.join(folder, 'docker'),
      settings: { script, all: false, trustImages: false },
    });
    await writeFile(script, text, { mode: 0o755 });
    const id = `${kind.runtime}-${kind.linux.namespaces.length}`;
    const bundle = path.join(folder, id);
    await mkdir(bundle);
    const config = {
      ociVersion: '1.0.2',
      process: { args: ['/bin/busybox', 'sleep', '600'], cwd: '/', env: [], user: { uid: 0, gid: 0 } },
      root: { path: path.join(folder, 'rootfs'), readonly: true },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc' },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
      ],
      annotations: { 'fixed-ip': '1' },
      linux: {
        ...kind.linux,
        cgroupsPath: `/eru-${process.pid}-${id}`,
        namespaces: [...['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })), ...kind.linux.namespaces],
      },
    };
    const before = await host.traces();
    const call = (...words: string[]): Promise<string> =>
      host.ok(
        'sh',
        '-c',
        '"$@" </dev/null >"$0" 2>&1 || { cat "$0" >&2; exit 1; }',
        `${bundle}/said`,
        script,
        '--root',
        `${folder}/state`,
        ...words,
      );
    const seen: string[] = [];
    for (let round = 0; round < 2; round++) {
      // As an engine writes it anew for each start.
      await writeFile(path.join(bundle, 'config.json'), JSON.stringify(config));
      await call('create', '--bundle', bundle, id);
      try {
        await call('start', id);
        const { pid } = JSON.parse(await host.ok(script, '--root', `${folder}/state`, 'state', id)) as { pid: number };
        const shown = await host.ok('nsenter', `--target=${pid}`, '--net', 'ip', '-o', 'address', 'show', 'eth0');
        seen.push([...shown.matchAll(/inet6? ((?:10|fd09)\S+)/g)].map(([, ip]) => ip).join(' '));
        await host.ok('nsenter', `--target=${pid}`, '--net', 'ping', '-c', '1', '-W', '5', '10.9.0.1');
      } finally {
        await call('delete', '--force', id);
      }
      expect(await netd.service.reservations({ owner: id })).toMatchObject([{ state: 'reserved' }]);
      expect([await host.traces(), await netd.service.diagnose()]).toEqual([before, []]);
    }
    expect(seen[0]).toMatch(/^10\.9\.0\.\d+\/24 fd09::\w+\/64$/);
    expect(seen[1]).toBe(seen[0]);
    await netd.service.release({ owner: id });
  });
});
