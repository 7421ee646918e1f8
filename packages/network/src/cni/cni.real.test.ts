import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { retry } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestHost } from '../host.suite.ts';
import { FakePlugins } from './fake-plugin.suite.ts';

const one = { containerId: 'one', ifname: 'eth0', netns: '/run/netns/one' };
const key = { network: 'net', containerId: 'one', ifname: 'eth0' };
const result = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'eth0', sandbox: '/run/netns/one' }],
  ips: [{ address: '10.0.0.5/24', interface: 0 }],
};

describe('plugins that are scripts', () => {
  let fakes: FakePlugins;
  beforeEach(async () => {
    fakes = await FakePlugins.make();
    await fakes.answer('main', result);
    await fakes.answer('chained', { ...result, ips: [{ address: '10.0.0.6/24', interface: 0 }] });
  });
  afterEach(() => fakes.remove());
  const commands = async (): Promise<string[]> =>
    (await fakes.calls()).map(({ command, plugin }) => `${command} ${plugin}`);

  it('get what the specification says, in its order', async () => {
    const list = await fakes.list(
      {},
      { type: 'main', capabilities: { mac: true, ips: false }, own: 1 },
      { type: 'chained' },
    );
    const added = await fakes.cni.add(list, {
      ...one,
      args: [['IP', '10.0.0.5']],
      capabilities: { mac: '02:00:00:00:00:01', ips: ['10.0.0.5/24'], bandwidth: {} },
    });
    expect(added.ips).toEqual([{ address: '10.0.0.6/24', interface: 0 }]);
    await fakes.cni.check(key);
    await fakes.cni.del(key);
    await fakes.cni.del(key); // Repeatable: nothing is remembered, nothing runs.
    const calls = await fakes.calls();
    expect(await commands()).toEqual([
      'ADD main',
      'ADD chained',
      'CHECK main',
      'CHECK chained',
      'DEL chained',
      'DEL main',
    ]);
    expect(calls[0]).toMatchObject({
      env: {
        CNI_CONTAINERID: 'one',
        CNI_NETNS: '/run/netns/one',
        CNI_IFNAME: 'eth0',
        CNI_ARGS: 'IgnoreUnknown=1;IP=10.0.0.5',
        CNI_PATH: `${fakes.folder}/none:${fakes.folder}`,
      },
    });
    expect(calls[0]?.input).toEqual({
      type: 'main',
      own: 1,
      name: 'net',
      cniVersion: '1.0.0',
      runtimeConfig: { mac: '02:00:00:00:00:01' },
    });
    expect(calls[1]?.input).toEqual({ type: 'chained', name: 'net', cniVersion: '1.0.0', prevResult: result });
    for (const { input } of calls.slice(2)) expect(input['prevResult']).toEqual(added);
    expect(await fakes.cni.cache.list()).toEqual([]);
  });

  it('keep what ADD used for DEL, in the form that other tools read', async () => {
    const list = await fakes.list({}, { type: 'main' }, { type: 'chained' });
    await fakes.cni.add(list, { ...one, args: [['K', 'v']] });
    const [file = ''] = await readdir(path.join(fakes.folder, 'cache/results'));
    const full = path.join(fakes.folder, 'cache/results', file);
    expect(file).toBe('net-one-eth0');
    expect((await stat(full)).mode & 0o777).toBe(0o600);
    const record = JSON.parse(await readFile(full, 'utf8'));
    expect(record).toMatchObject({
      kind: 'cniCacheV1',
      containerId: 'one',
      ifName: 'eth0',
      networkName: 'net',
      cniArgs: [['K', 'v']],
    });
    expect(Buffer.from(record.config, 'base64').toString()).toBe(list.text);
    // The list on disk has lost a plugin since: it still gets its DEL.
    await fakes.cni.del(key, { fallback: await fakes.list({}, { type: 'main' }) });
    expect((await commands()).slice(2)).toEqual(['DEL chained', 'DEL main']);
  });

  it('that fail an ADD leave a DEL that knows the configuration', async () => {
    await fakes.write('chained', `[ $CNI_COMMAND = ADD ] && { echo '{"code":7,"msg":"bad burst"}'; exit 1; }; exit 0`);
    const list = await fakes.list({}, { type: 'main' }, { type: 'chained' });
    await expect(fakes.cni.add(list, one)).rejects.toMatchObject({
      code: 'invalid',
      message: expect.stringContaining('bad burst'),
      details: { plugin: 'chained', cniCode: 7 },
    });
    await expect(fakes.cni.check(key)).rejects.toMatchObject({ code: 'precondition' });
    await fakes.cni.del(key);
    expect((await commands()).slice(2)).toEqual(['DEL chained', 'DEL main']);
  });

  it('get no result at DEL before 0.4.0, and no CHECK', async () => {
    const list = await fakes.list({ cniVersion: '0.3.1' }, { type: 'main' });
    const added = await fakes.cni.add(list, one);
    expect(added).toMatchObject({ cniVersion: '0.3.1', ips: [{ version: '4' }] });
    await expect(fakes.cni.check(key)).rejects.toMatchObject({ code: 'unsupported' });
    await fakes.cni.del(key);
    expect((await fakes.calls()).at(-1)?.input).not.toHaveProperty('prevResult');
  });

  it('may say "try again later" and "unknown container"', async () => {
    await fakes.write(
      'main',
      `if [ $CNI_COMMAND = DEL ]; then echo '{"code":3,"msg":"who?"}'; exit 1; fi
[ $n = 0 ] && { echo '{"code":11,"msg":"later"}'; exit 1; }; echo '${JSON.stringify(result)}'`,
    );
    await fakes.cni.add(await fakes.list({}, { type: 'main' }), one);
    await fakes.cni.del(key);
    expect(await commands()).toEqual(['ADD main', 'ADD main', 'DEL main']);
  });

  it('collect what is not valid: by DEL always, by GC from 1.1.0 on, in spite of errors', async () => {
    await fakes.write(
      'chained',
      `[ $CNI_COMMAND = GC ] && { echo '{"code":5,"msg":"disk"}'; exit 1; }; [ $CNI_COMMAND = ADD ] && echo '${JSON.stringify(result)}'; exit 0`,
    );
    const list = await fakes.list({ cniVersion: '1.1.0' }, { type: 'main' }, { type: 'chained' });
    for (const containerId of ['one', 'two']) await fakes.cni.add(list, { ...one, containerId });
    await expect(fakes.cni.gc(list, [{ containerId: 'two', ifname: 'eth0' }])).rejects.toThrow(
      /GC of network net: .*disk/,
    );
    const calls = (await fakes.calls()).slice(4);
    expect(calls.map(({ command, plugin }) => `${command} ${plugin}`)).toEqual([
      'DEL chained',
      'DEL main',
      'GC main',
      'GC chained',
    ]);
    expect(calls[0]?.env['CNI_CONTAINERID']).toBe('one');
    expect(calls[2]?.input).toMatchObject({ 'cni.dev/valid-attachments': [{ containerID: 'two', ifname: 'eth0' }] });
    expect(await fakes.cni.cache.list()).toMatchObject([{ containerId: 'two' }]);
    await fakes.cni.gc(await fakes.list({ cniVersion: '1.0.0' }, { type: 'main' }), []);
    expect(await fakes.cni.cache.list()).toEqual([]);
  });

  it('answer STATUS and VERSION', async () => {
    await fakes.write(
      'main',
      `[ $CNI_COMMAND = STATUS ] && { echo '{"code":51,"msg":"no addresses left"}'; exit 1; }
echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.1.0"]}'`,
    );
    await fakes.cni.status(await fakes.list({}, { type: 'main' })); // Before 1.1.0 nobody can say.
    await expect(fakes.cni.status(await fakes.list({ cniVersion: '1.1.0' }, { type: 'main' }))).rejects.toMatchObject({
      code: 'no_capacity',
    });
    expect(await fakes.cni.version('main')).toEqual(['0.4.0', '1.1.0']);
  });

  it.each([
    [
      'lies about addresses',
      `echo '{"cniVersion":"1.0.0","ips":[{"address":"everything"}]}'`,
      /is not a result: ips\[0\]/,
    ],
    ['prints no JSON', 'echo hello', /no JSON: \\?"hello/],
    ['prints nothing', 'true', /it is empty/],
    ['fails without a word', 'exit 3', /ended with 3 and said nothing/],
    ['fails with a word on standard error', 'echo oops >&2; exit 3', /oops/],
    ['is killed', 'kill -9 $$', /was killed by SIGKILL/],
  ])('that %s cause a clear error', async (_what, body, message) => {
    await fakes.write('main', body);
    await expect(fakes.cni.add(await fakes.list({}, { type: 'main' }), one)).rejects.toThrow(message);
  });

  it.each([
    ['../x', 'eth0', /containerId/],
    ['one', 'eth0/1', /ifname/],
    ['one', '..', /ifname/],
    ['one', 'sixteen-letters-', /ifname/],
  ])('are not called for container %s, interface %s', async (containerId, ifname, message) => {
    const list = await fakes.list({}, { type: 'main' });
    expect(() => fakes.cni.add(list, { ...one, containerId, ifname })).toThrow(message);
    await expect(fakes.calls()).resolves.toEqual([]);
  });

  it('that are not there are named, with where they were looked for', async () => {
    const list = await fakes.list({}, { type: 'missing' });
    await expect(fakes.cni.add(list, one)).rejects.toThrow(/plugin missing is in none of .*none, /);
  });
});

describe('plugins that misbehave', () => {
  let fakes: FakePlugins;
  afterEach(() => fakes.remove());

  const pidOf = async (name: string): Promise<number> =>
    retry(async () => Number(await readFile(path.join(fakes.folder, name), 'utf8')), { baseMs: 20, attempts: 100 });
  const gone = (pid: number): Promise<void> =>
    retry(
      async () => {
        const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
        if (status !== '' && !/\) [ZX] /.test(status)) throw new Error(`${pid} lives`);
      },
      { baseMs: 20, attempts: 100 },
    );

  it('hang: they and their children are killed at the deadline', async () => {
    fakes = await FakePlugins.make({ timeoutMs: 500 });
    await fakes.write('main', `(trap '' TERM; sleep 1000) & echo $! > ${fakes.folder}/child; wait`);
    await expect(fakes.cni.add(await fakes.list({}, { type: 'main' }), one)).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('main ADD did not end within 500 ms'),
    });
    await gone(await pidOf('child'));
  });

  it('end, but leave a child that holds the pipes: it is killed soon, the answer counts', async () => {
    fakes = await FakePlugins.make();
    await fakes.write('main', `sleep 1000 & echo $! > ${fakes.folder}/child; echo '${JSON.stringify(result)}'`);
    expect(await fakes.cni.add(await fakes.list({}, { type: 'main' }), one)).toEqual(result);
    await gone(await pidOf('child'));
  });

  it('flood standard output: they are killed, and not waited for', async () => {
    fakes = await FakePlugins.make();
    await fakes.write('main', `echo $$ > ${fakes.folder}/child; exec yes`);
    await expect(fakes.cni.add(await fakes.list({}, { type: 'main' }), one)).rejects.toMatchObject({
      code: 'too_large',
    });
    await gone(await pidOf('child'));
  });

  it('flood standard error: the first of it is kept', async () => {
    fakes = await FakePlugins.make();
    await fakes.write('main', 'echo first >&2; yes | head -c 3000000 >&2; exit 1');
    await expect(fakes.cni.add(await fakes.list({}, { type: 'main' }), one)).rejects.toThrow(/ended with 1: "first/);
  });

  it('are killed when the caller gives up', async () => {
    fakes = await FakePlugins.make();
    await fakes.write('main', `echo $$ > ${fakes.folder}/child; exec sleep 1000`);
    const caller = new AbortController();
    const adding = fakes.cni.add(await fakes.list({}, { type: 'main' }), one, { signal: caller.signal });
    adding.catch(() => {});
    const pid = await pidOf('child');
    caller.abort();
    await expect(adding).rejects.toMatchObject({ code: 'canceled' });
    await gone(pid);
  });

  it('never run twice at once for one container', async () => {
    fakes = await FakePlugins.make();
    await fakes.write(
      'main',
      `mkdir ${fakes.folder}/busy || exit 1; sleep 0.1; rmdir ${fakes.folder}/busy; echo '${JSON.stringify(result)}'`,
    );
    const list = await fakes.list({}, { type: 'main' });
    await Promise.all(['eth0', 'eth1', 'eth2'].map((ifname) => fakes.cni.add(list, { ...one, ifname })));
    expect(await fakes.cni.cache.list()).toHaveLength(3);
  });

  it('a damaged record is told, with its file', async () => {
    fakes = await FakePlugins.make();
    await fakes.answer('main', result);
    await fakes.cni.add(await fakes.list({}, { type: 'main' }), one);
    const file = path.join(fakes.folder, 'cache/results/net-one-eth0');
    await writeFile(file, '{');
    await expect(fakes.cni.del(key)).rejects.toThrow(`${file} is damaged`);
  });
});

describeAsRoot(['cni', 'ip', 'iptables', 'ping'], "Debian's plugins", () => {
  let host: TestHost;
  beforeEach(async () => {
    host = await TestHost.start();
  });
  afterEach(() => host.stop());

  it('join two namespaces, with masquerade, firewall, ports and bandwidth, and leave nothing', async () => {
    const before = await host.traces();
    for (const name of ['a', 'b']) await host.ok('ip', 'netns', 'add', name);
    const config = {
      cniVersion: '1.0.0',
      name: 'net',
      plugins: [
        {
          type: 'bridge',
          bridge: 'br0',
          isGateway: true,
          ipMasq: true,
          capabilities: { ips: true, mac: true },
          ipam: { type: 'static' },
        },
        { type: 'firewall' },
        { type: 'portmap', capabilities: { portMappings: true } },
        { type: 'bandwidth', capabilities: { bandwidth: true } },
        { type: 'tuning', sysctl: { 'net.ipv4.conf.all.arp_notify': '1' } },
      ],
    };
    const prepared = `
      const cni = new network.Cni({ pluginFolders: ['/usr/lib/cni'], cacheFolder: ${JSON.stringify(host.folder)} });
      const list = await network.parseNetworkList(${JSON.stringify(JSON.stringify(config))}, 'test');`;
    const added = await host.module<{ mac: string; addresses: string[] }[]>(`${prepared}
      const all = await Promise.all(['a', 'b'].map((containerId, index) => cni.add(list, {
        containerId, ifname: 'eth0', netns: '/run/netns/' + containerId,
        capabilities: {
          ips: ['10.9.0.' + (index + 2) + '/24'], mac: '02:00:00:00:00:0' + (index + 1),
          portMappings: index === 0 ? [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] : [],
          bandwidth: { ingressRate: 8000000, ingressBurst: 800000, egressRate: 8000000, egressBurst: 800000 },
        },
      })));
      // Of portmap 1.1.1, CHECK wants rules for IPv6 even where there are none.
      await cni.check({ network: 'net', containerId: 'b', ifname: 'eth0' });
      console.log(JSON.stringify(all.map((result) => ({
        mac: result.interfaces.find(({ name, sandbox }) => name === 'eth0' && sandbox).mac,
        addresses: network.addressesOf(result, 'eth0').map(({ address }) => address),
      }))));`);
    expect(added).toEqual([
      { mac: '02:00:00:00:00:01', addresses: ['10.9.0.2/24'] },
      { mac: '02:00:00:00:00:02', addresses: ['10.9.0.3/24'] },
    ]);
    await host.ok('ip', 'netns', 'exec', 'a', 'ping', '-c', '1', '-W', '5', '10.9.0.3');
    expect(await host.ok('iptables', '-t', 'nat', '-S')).toContain('--dport 8080');
    expect(await host.ok('tc', 'qdisc')).toContain('tbf');
    await host.module(`${prepared}
      await cni.gc(list, [{ containerId: 'b', ifname: 'eth0' }]);
      await cni.del({ network: 'net', containerId: 'b', ifname: 'eth0' });
      console.log(JSON.stringify(await cni.cache.list()));`);
    for (const name of ['a', 'b']) await host.ok('ip', 'netns', 'del', name);
    expect(await host.traces()).toEqual(before);
    expect(await host.ok('iptables', '-t', 'nat', '-S')).not.toMatch(/MASQUERADE.*id: /);
  });
});
