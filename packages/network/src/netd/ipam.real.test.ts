import { chmod, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestHost } from '../host.suite.ts';
import { ipamScript } from './ipam-script.ts';
import { NetdProcess } from './netd.suite.ts';

describeAsRoot(['cni', 'ip', 'iptables'], 'eru-ipam, below another runtime', () => {
  let host: TestHost;
  let netd: NetdProcess;
  beforeEach(async () => {
    host = await TestHost.start();
    netd = await NetdProcess.start(host);
    await netd.service.putPool({ name: 'p', cidr: '10.9.0.0/29', quarantineMs: 0 });
    await netd.service.putPool({ name: 'six', cidr: 'fd09::/64', quarantineMs: 0 });
    const plugin = path.join(host.folder, 'eru-ipam');
    await writeFile(plugin, ipamScript(path.join(host.folder, 'netd.sock')));
    await chmod(plugin, 0o755);
  });
  afterEach(async () => {
    await netd.kill();
    await host.stop();
  });
  interface Answer {
    code: number;
    output: {
      code?: number;
      msg?: string;
      ips?: { address: string; gateway: string; version?: string }[];
      supportedVersions?: string[];
    };
  }
  const call = async (command: string, containerId: string, config: object = {}, args = ''): Promise<Answer> => {
    const all = {
      cniVersion: '1.0.0',
      name: 'net',
      type: 'bridge',
      ipam: { type: 'eru-ipam', pools: ['p', 'six'] },
      ...config,
    };
    const env = [
      `CNI_COMMAND=${command}`,
      `CNI_CONTAINERID=${containerId}`,
      'CNI_IFNAME=eth0',
      `CNI_ARGS=${args}`,
      'CNI_NETNS=',
      'ERU_IPAM_SECONDS=20',
    ];
    const words = [
      'sh',
      '-c',
      'printf %s "$1" | env "$2" "$3" "$4" "$5" "$6" "$7" "$8"',
      '-',
      JSON.stringify(all),
      ...env,
      path.join(host.folder, 'eru-ipam'),
    ];
    const { code, stdout } = await host.run(...words);
    return { code, output: stdout.trim() === '' ? {} : (JSON.parse(stdout) as Answer['output']) };
  };
  const states = async (): Promise<string[]> =>
    (await netd.service.reservations()).map(({ owner, state }) => `${owner} ${state}`).toSorted();

  it('answers all six verbs; DEL unbinds, and the next ADD of the owner has the same address', async () => {
    const first = await call('ADD', 'one');
    expect(first).toMatchObject({
      code: 0,
      output: {
        cniVersion: '1.0.0',
        ips: [
          { address: '10.9.0.2/29', gateway: '10.9.0.1' },
          { address: 'fd09::2/64', gateway: 'fd09::1' },
        ],
        routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }],
      },
    });
    expect(await call('ADD', 'one')).toEqual(first);
    expect((await call('ADD', 'two', { cniVersion: '0.3.1' }, 'IgnoreUnknown=1;IP=10.9.0.5')).output.ips).toMatchObject(
      [{ version: '4', address: '10.9.0.5/29' }, { version: '6' }],
    );
    expect((await call('ADD', 'three', { runtimeConfig: { ips: ['10.9.0.5/24'] } })).output).toMatchObject({
      code: 999,
      msg: expect.stringContaining('belongs to two'),
    });
    expect(await call('CHECK', 'one')).toEqual({ code: 0, output: {} });
    for (let round = 0; round < 2; round++) expect(await call('DEL', 'one')).toEqual({ code: 0, output: {} });
    expect(await states()).toEqual(['one reserved', 'two bound']);
    expect((await call('CHECK', 'one')).code).toBe(1);
    expect((await call('ADD', 'again', {}, 'OWNER=one')).output.ips).toEqual(first.output.ips);
    expect(
      await call('GC', '', {
        cniVersion: '1.1.0',
        'cni.dev/valid-attachments': [{ containerID: 'one', ifname: 'eth0' }],
      }),
    ).toEqual({ code: 0, output: {} });
    expect(await states()).toEqual(['one bound', 'two reserved']);
    expect((await call('STATUS', '', { cniVersion: '1.1.0' })).code).toBe(0);
    for (const owner of ['four', 'five', 'six']) await call('ADD', owner);
    expect((await call('STATUS', '', { cniVersion: '1.1.0' })).output).toMatchObject({
      code: 51,
      msg: expect.stringContaining('pool p (10.9.0.0/29) is full'),
    });
    expect((await call('VERSION', '')).output.supportedVersions).toContain('1.1.0');
    expect((await call('ADD', 'x', { ipam: { type: 'eru-ipam' } })).output).toMatchObject({
      code: 7,
      msg: expect.stringContaining('ipam.pools'),
    });
    expect((await call('ADD', '../x')).output.code).toBe(4);
    expect((await call('ADD', 'x', { cniVersion: '9.0.0' })).output.code).toBe(1);
    expect((await readdir(path.join(host.folder, 'ipam'))).toSorted()).toEqual(['calls', 'pid']);
  });

  it('says so at once when no daemon lives, and works with the next one', async () => {
    await call('ADD', 'one');
    await netd.kill();
    expect((await call('ADD', 'two')).output).toMatchObject({
      code: 11,
      msg: expect.stringContaining('no network daemon answers'),
    });
    expect((await call('STATUS', '')).output.code).toBe(50);
    netd = await NetdProcess.start(host);
    expect(await states()).toEqual(['one bound']);
    expect((await call('DEL', 'one')).code).toBe(0);
    expect((await call('ADD', 'one', { ipam: { type: 'eru-ipam', pools: ['p'], policy: 'ephemeral' } })).code).toBe(0);
    await netd.kill();
    netd = await NetdProcess.start(host, { bootId: 'another' });
    expect(await states()).toEqual(['one reserved']);
  });

  it('is found by the bridge plugin, and many may call at once', async () => {
    await host.ok('ip', 'netns', 'add', 'a');
    const config = {
      cniVersion: '1.0.0',
      name: 'net',
      plugins: [{ type: 'bridge', bridge: 'br0', isGateway: true, ipam: { type: 'eru-ipam', pools: ['p'] } }],
    };
    const added = await host.module<{ ips: { address: string }[] }>(`
      const cni = new network.Cni({ pluginFolders: ['/usr/lib/cni', ${JSON.stringify(host.folder)}], cacheFolder: ${JSON.stringify(path.join(host.folder, 'cache'))} });
      const list = await network.parseNetworkList(${JSON.stringify(JSON.stringify(config))}, 'test');
      const result = await cni.add(list, { containerId: 'a', ifname: 'eth0', netns: '/run/netns/a' });
      await cni.check({ network: 'net', containerId: 'a', ifname: 'eth0' });
      await cni.del({ network: 'net', containerId: 'a', ifname: 'eth0' });
      console.log(JSON.stringify(result));`);
    expect(added.ips[0]?.address).toBe('10.9.0.2/29');
    expect(await states()).toEqual(['a reserved']);
    const many = await Promise.all(['b', 'c', 'd', 'e'].map((id) => call('ADD', id)));
    expect(new Set(many.map(({ output }) => output.ips?.[0]?.address)).size).toBe(4);
  });
});
