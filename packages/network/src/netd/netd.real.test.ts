import { EruError } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestHost } from '../host.suite.ts';
import { NetdProcess } from './netd.suite.ts';
import type { AttachRequest } from './sandbox.ts';
import type { NetworkService } from './service.ts';

describeAsRoot(['cni', 'ip', 'iptables', 'ping'], 'a network daemon', () => {
  let host: TestHost;
  let netd: NetdProcess;
  beforeEach(async () => {
    host = await TestHost.start();
    netd = await NetdProcess.start(host);
    await netd.service.putPool({ name: 'p', cidr: '10.9.0.0/24', quarantineMs: 0 });
    await netd.service.putPool({ name: 'six', cidr: 'fd09::/64', quarantineMs: 0 });
    await netd.service.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'] });
    await netd.service.putNetwork({ name: 'dual', driver: 'bridge', pools: ['p', 'six'] });
  });
  afterEach(async () => {
    await netd.kill();
    await host.stop();
  });
  const restart = async (options = {}): Promise<void> => {
    await netd.kill();
    netd = await NetdProcess.start(host, options);
  };
  const web: AttachRequest = {
    id: 'web',
    kind: 'process',
    policy: 'fixed',
    networks: [{ network: 'net', ports: [{ containerPort: 80, hostPort: 8080 }] }],
  };
  const inside = (id: string, ...command: string[]): Promise<string> =>
    host.ok('nsenter', `--net=/run/eru/netns/${id}`, '--', ...command);
  const addressOf = (sandbox: {
    interfaces: readonly { addresses: readonly { address: string }[] }[];
  }): string | undefined => sandbox.interfaces[0]?.addresses[0]?.address;
  const states = async (service: NetworkService): Promise<string[]> =>
    (await service.reservations()).map(({ owner, state }) => `${owner} ${state}`);

  it('attaches workloads that reach each other over IPv4 and IPv6, with the ports and rates that were asked for', async () => {
    const { service } = netd;
    const before = await host.traces();
    const one = await service.attach({
      id: 'one',
      kind: 'process',
      networks: [
        {
          network: 'dual',
          mac: '02:00:00:00:00:07',
          ports: [{ containerPort: 80, hostPort: 8080 }],
          bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 8_000_000, egressBurst: 800_000 },
        },
      ],
    });
    const two = await service.attach({
      id: 'two',
      kind: 'process',
      networks: [{ network: 'dual', ips: ['fd09::99'] }, { network: 'net' }],
    });
    expect(one).toMatchObject({
      state: 'attached',
      netns: '/run/eru/netns/one',
      interfaces: [
        {
          ifname: 'eth0',
          mac: '02:00:00:00:00:07',
          addresses: [{ address: '10.9.0.2/24', gateway: '10.9.0.1' }, { address: 'fd09::2/64' }],
        },
      ],
    });
    expect(two.interfaces.map(({ ifname, addresses }) => [ifname, ...addresses.map(({ address }) => address)])).toEqual(
      [
        ['eth0', 'fd09::99/64', '10.9.0.3/24'],
        ['eth1', '10.9.0.4/24'],
      ],
    );
    await inside('one', 'ping', '-c', '1', '-W', '5', '10.9.0.3');
    // Duplicate address detection takes the kernel a moment.
    await expect
      .poll(() =>
        host
          .run('nsenter', '--net=/run/eru/netns/one', 'ping', '-c', '1', '-W', '1', 'fd09::99')
          .then(({ code }) => code),
      )
      .toBe(0);
    expect(await host.ok('iptables', '-t', 'nat', '-S')).toContain('--dport 8080');
    expect(await host.ok('tc', 'qdisc')).toContain('tbf');
    expect(await inside('one', 'ip', '-o', 'link', 'show', 'eth0')).toContain('02:00:00:00:00:07');
    expect(await service.diagnose()).toEqual([]);
    for (const id of ['one', 'two']) await service.detach({ id });
    await service.detach({ id: 'one' });
    expect(await host.traces()).toEqual(before);
    expect(await service.reservations()).toEqual([]);
    expect(await service.diagnose()).toEqual([]);
  });

  it('keeps a fixed address over stop, and for another namespace of the same owner; one at a time', async () => {
    const { service } = netd;
    const first = await service.attach(web);
    expect(await service.attach(web)).toEqual(first);
    await expect(service.attach({ ...web, networks: [{ network: 'net', ips: ['10.9.0.77'] }] })).rejects.toMatchObject({
      code: 'exists',
    });
    await expect(service.attach({ ...web, id: 'again', owner: 'web' })).rejects.toMatchObject({ code: 'busy' });
    await expect(service.release({ owner: 'web' })).rejects.toMatchObject({ code: 'precondition' });
    await service.detach({ id: 'web' });
    expect(await states(service)).toEqual(['web reserved']);
    await service.attach({ id: 'other', kind: 'process', networks: [{ network: 'net' }] });
    const again = await service.attach({ ...web, id: 'again', owner: 'web' });
    expect(addressOf(again)).toBe(addressOf(first));
    expect(again.interfaces[0]).toMatchObject({ mac: first.interfaces[0]?.mac, ports: first.interfaces[0]?.ports });
    await service.detach({ id: 'again' });
    await service.transfer({ from: 'web', to: 'web-2' });
    expect(addressOf(await service.attach({ ...web, id: 'web-2' }))).toBe(addressOf(first));
  });

  it('connects and disconnects a living namespace', async () => {
    const { service } = netd;
    await service.attach(web);
    const more = await service.connect({ id: 'web', network: { network: 'dual' } });
    expect(more.interfaces.map(({ ifname, network }) => `${ifname} ${network}`)).toEqual(['eth0 net', 'eth1 dual']);
    expect(await inside('web', 'ip', '-o', 'addr', 'show', 'eth1')).toContain('fd09::2');
    const less = await service.disconnect({ id: 'web', name: 'dual' });
    expect(less?.interfaces).toHaveLength(1);
    expect(await service.diagnose()).toEqual([]);
  });

  it('leaves nothing of an attach that failed', async () => {
    const { service } = netd;
    const before = await host.traces();
    await service.putNetwork({
      name: 'broken',
      pools: ['p'],
      plugins: [
        { type: 'bridge', bridge: 'br9', isGateway: true },
        { type: 'tuning', sysctl: { 'net.none': '1' } },
      ],
    });
    await expect(
      service.attach({ id: 'x', kind: 'process', networks: [{ network: 'net' }, { network: 'broken' }] }),
    ).rejects.toMatchObject({
      code: 'failed',
      details: { plugin: 'tuning', command: 'ADD' },
    });
    await expect(service.attach({ id: 'x', kind: 'process', networks: [{ network: 'none' }] })).rejects.toThrow(
      'there is no network none; there are: broken, dual, net',
    );
    expect(await host.traces()).toEqual(before);
    expect([await service.sandboxes(), await service.reservations(), await service.diagnose()]).toEqual([[], [], []]);
  });

  it('may be killed before any effect of attach and detach: the next one ends what was half done', async () => {
    const before = await host.traces();
    await netd.service.reserve({
      owner: 'web',
      kind: 'process',
      network: { network: 'net', ips: ['10.9.0.50'], ports: [{ containerPort: 80, hostPort: 8080 }] },
    });
    let deaths = 0;
    for (const verb of ['attach', 'detach'] as const) {
      for (let effect = 0; ; effect++) {
        if (verb === 'detach') await netd.service.attach(web);
        netd.dieBefore(effect);
        const call = verb === 'attach' ? netd.service.attach(web) : netd.service.detach({ id: 'web' });
        const died = await call.then(
          () => false,
          (error: unknown) => {
            expect(EruError.from(error).code).toBe('unavailable');
            return true;
          },
        );
        await restart();
        if (!died && verb === 'attach') await netd.service.detach({ id: 'web' });
        expect(
          [await netd.service.sandboxes(), await netd.service.diagnose(), await states(netd.service)],
          `${verb}, effect ${effect}`,
        ).toEqual([[], [], ['web reserved']]);
        expect(await host.traces(), `${verb}, effect ${effect}`).toEqual(before);
        if (!died) break;
        deaths += 1;
      }
    }
    expect(deaths).toBeGreaterThan(15);
    expect(addressOf(await netd.service.attach(web))).toBe('10.9.0.50/24');
  });

  it('that is killed leaves its workloads attached, and knows them again', async () => {
    const before = await netd.service.attach(web);
    await restart();
    expect(await netd.service.describe({ id: 'web' })).toEqual(before);
    expect(await netd.service.diagnose()).toEqual([]);
  });

  it('knows a reboot: bound addresses are reserved, nothing is attached', async () => {
    await netd.service.attach(web);
    await netd.service.attach({ id: 'short', kind: 'process', networks: [{ network: 'net' }] });
    await netd.kill();
    // What a boot does: namespaces, links and rules are gone, the disk is as it was.
    for (const id of ['web', 'short']) await host.ok('umount', `/run/eru/netns/${id}`);
    await host.ok('rm', '-r', '/run/eru');
    netd = await NetdProcess.start(host, { bootId: 'another' });
    expect([await netd.service.sandboxes(), await states(netd.service), await netd.service.diagnose()]).toEqual([
      [],
      ['web reserved'],
      [],
    ]);
    expect(addressOf(await netd.service.attach(web))).toBe('10.9.0.2/24');
  });

  it('reconciles in two rounds: a namespace that lost its name, one that is dead, strays, and forgotten plugins', async () => {
    const { service } = netd;
    const traces = await host.traces();
    for (const id of ['lives', 'dead']) await service.attach({ ...web, id, networks: [{ network: 'net' }] });
    const process = host
      .ok('nsenter', '--net=/run/eru/netns/lives', 'sh', '-c', 'echo $$ > /run/pid; exec sleep 1000')
      .catch(() => '');
    await expect.poll(() => host.run('cat', '/run/pid').then(({ stdout }) => stdout.trim())).toMatch(/^\d+$/);
    for (const id of ['lives', 'dead']) await host.ok('umount', `/run/eru/netns/${id}`);
    await host.ok('sh', '-c', 'touch /run/eru/netns/stray && unshare --net=/run/eru/netns/stray true');
    const repaired = async (): Promise<string[]> => (await service.reconcile()).map(({ key }) => key).toSorted();
    expect((await service.diagnose()).map(({ key }) => key).toSorted()).toEqual([
      'namespace/dead',
      'namespace/lives',
      'stray/stray',
    ]);
    expect(await repaired()).toEqual([]);
    expect(await repaired()).toEqual(['namespace/dead', 'namespace/lives', 'stray/stray']);
    expect(await service.diagnose()).toEqual([]);
    expect((await service.sandboxes()).map(({ id }) => id)).toEqual(['lives']);
    expect((await states(service)).toSorted()).toEqual(['dead reserved', 'lives bound']);
    await inside('lives', 'ping', '-c', '1', '-W', '5', '10.9.0.1');
    await host.ok('sh', '-c', 'kill $(cat /run/pid)');
    await process;
    await service.detach({ id: 'lives' });
    expect(await host.traces()).toEqual(traces);
  });

  it('takes back all rules, also of an interface that the workload has deleted', async () => {
    const { service } = netd;
    const before = await host.traces();
    await service.attach(web);
    await inside('web', 'ip', 'link', 'delete', 'eth0');
    expect((await service.diagnose()).map(({ key }) => key)).toContain('interface/web/eth0');
    await service.detach({ id: 'web' });
    expect(await host.traces()).toEqual(before);
    expect(await service.diagnose()).toEqual([]);
  });

  it('says what an earlier definition of a network has attached, and detaches it by that', async () => {
    const { service } = netd;
    const before = await host.traces();
    await service.attach(web);
    await service.putNetwork({ name: 'net', driver: 'bridge', pools: ['p'], masquerade: false });
    expect(await service.diagnose()).toMatchObject([{ key: 'older/web/eth0', level: 'note' }]);
    await service.detach({ id: 'web' });
    expect(await host.traces()).toEqual(before);
  });
});
