import { spawn } from 'node:child_process';
import { once } from 'node:events';

import { retry } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { cable, TestHost } from '../host.suite.ts';
import { NetdProcess } from './netd.suite.ts';

describeAsRoot(['cni', 'ip', 'iptables', 'ping', 'etcd'], 'two hosts, each with its daemon, on one etcd', () => {
  let hosts: [TestHost, TestHost];
  let daemons: NetdProcess[] = [];
  let etcd: ReturnType<typeof spawn>;
  beforeEach(async () => {
    hosts = [await TestHost.start(), await TestHost.start()];
    const [one, two] = hosts;
    await cable(one, ['10.200.0.1/24', 'fd20::1/64'], two, ['10.200.0.2/24', 'fd20::2/64']);
    const url = 'http://10.200.0.1:2379';
    etcd = spawn(
      ...one.words(
        'etcd',
        `--data-dir=${one.folder}/etcd`,
        `--listen-client-urls=${url}`,
        `--advertise-client-urls=${url}`,
        '--log-level=error',
      ),
      {
        stdio: 'ignore',
      },
    );
    const start = (host: TestHost, index: number): Promise<NetdProcess> =>
      retry(
        () =>
          NetdProcess.start(host, {
            node: `host-${index}`,
            addresses: [`10.200.0.${index}`, `fd20::${index}`],
            store: { endpoints: ['10.200.0.1:2379'] },
          }),
        { attempts: 20 },
      );
    daemons = [await start(one, 1), await start(two, 2)];
  });
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill()));
    if (etcd.signalCode === null) {
      const exit = once(etcd, 'exit');
      etcd.kill('SIGKILL');
      await exit;
    }
    await Promise.all(hosts.map((host) => host.stop()));
  });

  it('reach each other by address over routes, and a workload that moves keeps its own', async () => {
    const [one, two] = daemons.map(({ service }) => service) as [NetdProcess['service'], NetdProcess['service']];
    await one.putPool({ name: 'p', cidr: '10.8.0.0/16' });
    await one.putPool({ name: 'six', cidr: 'fd08::/64' });
    await one.putNetwork({ name: 'net', driver: 'routed', pools: ['p', 'six'] });
    await expect.poll(async () => (await two.networks()).length).toBe(1);
    const attach = async (service: typeof one, id: string): Promise<string[]> => {
      const sandbox = await service.attach({ id, kind: 'process', policy: 'fixed', networks: [{ network: 'net' }] });
      return sandbox.interfaces.flatMap(({ addresses }) => addresses.map(({ address }) => address));
    };
    expect(await attach(one, 'a')).toEqual(['10.8.0.2/16', 'fd08::2/64']);
    expect(await attach(one, 'c')).toEqual(['10.8.0.3/16', 'fd08::3/64']);
    // Blocks of another node.
    expect(await attach(two, 'b')).toEqual(['10.8.0.64/16', 'fd08::40/64']);
    const reaches = (host: TestHost, id: string, ip: string): Promise<void> =>
      expect
        .poll(
          async () => (await host.run('nsenter', `--net=/run/eru/netns/${id}`, 'ping', '-c', '1', '-W', '1', ip)).code,
        )
        .toBe(0);
    for (const ip of ['10.8.0.64', 'fd08::40', '10.8.0.3']) await reaches(hosts[0], 'a', ip);
    for (const ip of ['10.8.0.2', 'fd08::2']) await reaches(hosts[1], 'b', ip);
    expect(await hosts[0].ok('ip', 'route')).toContain('10.8.0.64/26 via 10.200.0.2');

    await one.detach({ id: 'c' });
    expect(await attach(two, 'c')).toEqual(['10.8.0.3/16', 'fd08::3/64']);
    await reaches(hosts[0], 'a', '10.8.0.3');
    await reaches(hosts[1], 'b', 'fd08::3');
    expect(await hosts[0].ok('ip', 'route')).toContain('10.8.0.3 via 10.200.0.2');
    expect([await one.diagnose(), await two.diagnose()]).toEqual([[], []]);

    // The node of `b` is lost, and comes back late.
    await daemons[1]?.kill();
    await one.transfer({ from: 'b', to: 'b-2', lost: true });
    expect(await attach(one, 'b-2')).toEqual(['10.8.0.64/16', 'fd08::40/64']);
    daemons[1] = await NetdProcess.start(hosts[1], { node: 'host-2', store: { endpoints: ['10.200.0.1:2379'] } });
    const late = daemons[1].service;
    expect((await late.diagnose()).map(({ key, text }) => `${key}: ${text}`)).toEqual([
      'lost/b/eth0: b (eth0) uses 10.8.0.64/16, fd08::40/64, which nobody has reserved for it',
    ]);
    await late.detach({ id: 'b' });
    expect(await one.reservations({ owner: 'b-2' })).toMatchObject([{ state: 'bound', node: 'host-1', epoch: 2 }]);

    // The store is silent: what is ours can be stopped and started all the same.
    etcd.kill('SIGKILL');
    await one.detach({ id: 'a' });
    expect(await attach(one, 'a')).toEqual(['10.8.0.2/16', 'fd08::2/64']);
    await reaches(hosts[0], 'b-2', '10.8.0.2');
    await expect(attach(one, 'new')).rejects.toMatchObject({ code: expect.stringMatching(/^(unavailable|timeout)$/) });
  });
});
