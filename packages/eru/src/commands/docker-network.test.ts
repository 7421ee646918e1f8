import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';

import type { Context } from '@eru/cli';
import { silentLogger, VirtualClock } from '@eru/kit';
import { openNetd, serveNetd, type Netd } from '@eru/network';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { importDocker } from './import-docker-command.ts';
import { installDocker } from './install-docker-command.ts';

let folder: string;
let netd: Netd;
let serving: { close(): Promise<void> };
let dockerd: Server;
const at = (name: string): string => path.join(folder, name);
/** What dockerd answers by path. */
const answers: Record<string, unknown> = {
  '/info': { DockerRootDir: '/srv/docker' },
  '/networks': [
    {
      Id: 'ab'.repeat(32),
      Name: 'old',
      Driver: 'bridge',
      IPAM: { Config: [{ Subnet: '10.6.0.0/24', Gateway: '10.6.0.1' }, { Subnet: 'fd06::/64' }] },
    },
    {
      Id: 'cd'.repeat(32),
      Name: 'bridge',
      Driver: 'bridge',
      IPAM: { Config: [{ Subnet: '10.5.0.0/24' }] },
      Options: { 'com.docker.network.bridge.name': 'docker0' },
    },
    { Id: 'ef'.repeat(32), Name: 'host', Driver: 'host', IPAM: { Config: null } },
  ],
  '/containers/json?all=1': [
    {
      Id: '1'.repeat(64),
      Names: ['/runs'],
      NetworkSettings: {
        Networks: {
          old: {
            IPAddress: '10.6.0.7',
            GlobalIPv6Address: 'fd06::7',
            MacAddress: '02:42:0a:06:00:07',
            IPAMConfig: null,
          },
          bridge: { IPAddress: '10.5.0.2' },
        },
      },
    },
    {
      Id: '2'.repeat(64),
      Names: ['/stopped'],
      NetworkSettings: { Networks: { old: { IPAMConfig: { IPv4Address: '10.6.0.9' } } } },
    },
    { Id: '3'.repeat(64), Names: ['/forgotten'], NetworkSettings: { Networks: { old: { IPAddress: '' } } } },
  ],
};

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-docker-'));
  netd = await openNetd({ folder: at('netd'), namespaceFolder: at('netns'), node: 'here', roundMs: 3_600_000 });
  serving = await serveNetd(netd, { socket: at('netd.sock'), logger: silentLogger });
  await mkdir(at('oci'));
  await writeFile(at('oci/pid'), `${process.pid}\n`);
  dockerd = createServer((request, response) => {
    const found = answers[request.url ?? ''];
    response.writeHead(found === undefined ? 404 : 200).end(JSON.stringify(found ?? {}));
  });
  await new Promise<void>((resolve) => dockerd.listen(at('docker.sock'), resolve));
});
afterEach(async () => {
  dockerd.close();
  await serving.close();
  await netd.close();
  await rm(folder, { recursive: true, force: true });
});
const context = (): Context =>
  ({
    clock: new VirtualClock(),
    env: process.env,
    signal: new AbortController().signal,
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    globals: { data: folder, output: 'table' },
  }) as unknown as Context;
const sockets = (): { socket: string; docker: string } => ({ socket: at('netd.sock'), docker: at('docker.sock') });

it('makes networks of ours out of Docker’s bridges and reserves what its containers have, the same when asked again', async () => {
  await importDocker(context(), sockets(), ['old']);
  await importDocker(context(), sockets(), []);
  const networks = (await netd.networks()).map(({ definition, cidrs }) =>
    [definition.name, definition.plugins?.[0]?.['bridge'], ...cidrs].join(' '),
  );
  expect(networks.toSorted()).toEqual(['bridge docker0 10.5.0.0/24', 'old br-abababababab 10.6.0.0/24 fd06::/64']);
  const held = (await netd.reservations()).map(({ owner, ifname, network, addresses }) =>
    [owner.slice(0, 9), ifname, network, ...addresses.map(({ ip }) => ip)].join(' '),
  );
  expect(held.toSorted()).toEqual([
    'docker.11 eth0 bridge 10.5.0.2',
    'docker.11 eth1 old 10.6.0.7 fd06::7',
    'docker.22 eth0 old 10.6.0.9 fd06::2',
  ]);
  expect((await netd.reservations({ ip: '10.6.0.7' }))[0]?.mac).toBe('02:42:0a:06:00:07');
  await expect(importDocker(context(), sockets(), ['host'])).rejects.toThrow(
    'dockerd has no bridge network host; it has: old, bridge',
  );
});

it('adds a runtime to dockerd’s configuration, and leaves alone all else, also what it cannot read', async () => {
  const flags = { ...sockets(), script: at('eru-oci'), name: 'eru', daemonJson: at('daemon.json'), runtime: '/bin/sh' };
  await writeFile(at('daemon.json'), '{"debug":true,"runtimes":{"kata":{"path":"/kata"}}}');
  await installDocker(context(), flags);
  await installDocker(context(), { ...flags, default: true });
  expect(JSON.parse(await readFile(at('daemon.json'), 'utf8'))).toEqual({
    debug: true,
    runtimes: { kata: { path: '/kata' }, eru: { path: at('eru-oci') } },
    'default-runtime': 'eru',
  });
  const script = await readFile(at('eru-oci'), 'utf8');
  expect(script).toContain("'/srv/docker/containers'");
  expect(script).toContain(`'${at('netd/declared')}'`);
  expect((await stat(at('eru-oci'))).mode & 0o777).toBe(0o755);
  await writeFile(at('daemon.json'), '{"debug":tru');
  await expect(installDocker(context(), flags)).rejects.toThrow(/daemon\.json: it is not JSON, and stays as it is/);
  expect(await readFile(at('daemon.json'), 'utf8')).toBe('{"debug":tru');
  await expect(installDocker(context(), { ...flags, name: 'runc' })).rejects.toThrow(/--name: "runc" is not allowed/);
  await expect(installDocker(context(), { ...flags, runtime: '/none' })).rejects.toThrow(
    /--runtime: "\/none" is not allowed/,
  );
  await expect(installDocker(context(), { ...flags, network: 'web' })).rejects.toThrow(
    /no network web; there are: none/,
  );
  const silent = context();
  await installDocker(silent, { ...flags, daemonJson: at('later.json'), docker: at('nobody.sock') });
  expect((silent.stderr as PassThrough).read()?.toString()).toContain(
    `no dockerd answers at ${at('nobody.sock')}: it reads this when it starts`,
  );
  await rm(at('oci/pid'));
  await expect(installDocker(context(), flags)).rejects.toThrow(
    /netd\.sock looks after no containers; start it with: eru netd --docker/,
  );
});

it('takes the original’s cni.yaml, and names what it cannot take', async () => {
  const flags = { ...sockets(), script: at('docker-cni'), name: 'docker-cni', daemonJson: at('daemon.json') };
  const config = async (text: string): Promise<unknown> => {
    await writeFile(at('cni.yaml'), text);
    return installDocker(context(), { ...flags, config: at('cni.yaml') });
  };
  await writeFile(
    at('10-first.conflist'),
    '{"cniVersion":"0.4.0","name":"first","plugins":[{"type":"bridge","odd":1}]}',
  );
  await writeFile(at('20-second.conflist'), '{"cniVersion":"0.4.0","name":"second","plugins":[{"type":"ptp"}]}');
  const all = `oci_bin: /bin/sh\ncni_conf_dir: ${folder}\ncni_bin_dir: /usr/lib/cni:/opt/cni/bin\ncni_ifname: net9\ncni_log: /var/log/cni.log\nlog_driver: file:///x\nlog_level: info\n`;
  await config(all);
  expect(await netd.networks()).toMatchObject([
    { definition: { name: 'first', cniVersion: '0.4.0', plugins: [{ type: 'bridge', odd: 1 }] } },
  ]);
  const script = await readFile(at('docker-cni'), 'utf8');
  expect(script).toContain("runtime='/bin/sh'");
  expect(script).toContain('"all":true,"trustImages":false,"network":"first","ifname":"net9"');
  await expect(config(all.replace('/opt/cni/bin', '/mine'))).rejects.toThrow(
    /cni_bin_dir: .*eru netd --plugins \/mine/,
  );
  await expect(config('oci_bim: /bin/sh\n')).rejects.toThrow(/oci_bim/);
});
