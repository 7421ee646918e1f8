import { stat } from 'node:fs/promises';

import { runOk } from '@eru/kit';
import type { NetworkService, Sandbox } from '@eru/network';
import { afterEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestHost } from '../../../network/src/host.suite.ts';
import { NetdProcess } from '../../../network/src/netd/netd.suite.ts';
import { lines, specOf } from '../spec.suite.ts';
import { TestNode } from '../node.suite.ts';

/** A daemon on a host of its own, whose namespaces have their names in another /run than ours. */
function seenFromHere(service: NetworkService, host: TestHost): NetworkService {
  const root = `/proc/${host.pid}/root`;
  const seen = (sandbox: Sandbox): Sandbox => ({ ...sandbox, netns: root + sandbox.netns });
  return {
    ...service,
    attach: async (request) => seen(await service.attach(request)),
    describe: async (request) => seen(await service.describe(request)),
  };
}

describeAsRoot(['runc', 'conmon', 'cni', 'ip', 'iptables', 'ping'], 'the network namespaces of processes', () => {
  const ended: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const end of ended.splice(0).toReversed()) await end();
  });

  it.each(['shell', 'plain'] as const)('one by its path is joined, and left as it is (%s)', async (way) => {
    const name = `eru-${process.pid}-${way}`;
    const file = `/run/netns/${name}`;
    await runOk('ip', ['netns', 'add', name]);
    ended.push(() => runOk('ip', ['netns', 'delete', name]));
    const node = await TestNode.create(way);
    ended.push(() => node.close());
    const engine = await node.engine();
    const { ino } = await stat(file);
    const { id } = await engine.create(specOf(['readlink', '/proc/self/ns/net'], { networks: { [file]: '' } }));
    await engine.start(id);
    await engine.wait(id);
    expect(await lines(engine, id)).toEqual([`net:[${ino}]`]);
    await engine.remove(id);
    expect((await stat(file)).ino).toBe(ino);
    await expect(engine.create(specOf(['true'], { networks: { '/etc/hosts': '' } }))).rejects.toMatchObject({
      message: expect.stringMatching(/\/etc\/hosts is no network namespace/),
    });
  });

  it.each(['shell', 'plain'] as const)(
    'one on a network has its address in each run, until it is removed (%s)',
    async (way) => {
      const host = await TestHost.start();
      ended.push(() => host.stop());
      const netd = await NetdProcess.start(host);
      ended.push(() => netd.kill());
      await netd.service.putPool({ name: 'p', cidr: '10.9.0.0/24', quarantineMs: 0 });
      await netd.service.putPool({ name: 'six', cidr: 'fd09::/64', quarantineMs: 0 });
      await netd.service.putNetwork({ name: 'net', driver: 'bridge', pools: ['p', 'six'] });
      const node = await TestNode.create(way);
      ended.push(() => node.close());
      const engine = await node.engine({ networks: { service: seenFromHere(netd.service, host) } });
      const say =
        'ip -o address show eth0 | sed -n "s/.*inet6* \\(10[^ ]*\\|fd09[^ ]*\\) .*/\\1/p"; ping -c 1 -W 5 10.9.0.1 >&2; grep -oE "^(10.9.0.77|fd09::77)" /etc/hosts';
      const { id } = await engine.create(specOf(['sh', '-c', say], { networks: { net: '10.9.0.77,fd09::0077' } }));
      for (let round = 0; round < 2; round++) {
        await engine.start(id);
        expect((await engine.wait(id)).exitCode).toBe(0);
        expect(await netd.service.sandboxes()).toEqual([]);
      }
      const once = ['10.9.0.77/24', 'fd09::77/64', '10.9.0.77', 'fd09::77'];
      expect((await lines(engine, id)).filter((line) => /^(10|fd)/.test(line))).toEqual([...once, ...once]);
      expect(await netd.service.reservations()).toMatchObject([
        { kind: 'process', state: 'reserved', policy: 'fixed' },
      ]);
      await engine.remove(id);
      expect([await netd.service.reservations(), await netd.service.diagnose()]).toEqual([[], []]);
    },
  );
});
