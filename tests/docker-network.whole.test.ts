import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { DockerNetwork } from './docker-network.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], 'fixed addresses on plain Docker', () => {
  let host: DockerNetwork;
  beforeAll(async () => {
    host = await DockerNetwork.start();
    await host.net('create', 'web', '--subnet', '10.8.0.0/24', '--subnet', 'fd08::/64', '--quarantine', '2s');
    await host.install('--network', 'web', '--default');
  });
  afterAll(() => host?.remove());
  afterEach(async () => {
    const left = await host.docker('ps', '-aq');
    if (left !== '') await host.docker('rm', '-f', ...left.split('\n'));
  });

  const none = ['--network', 'none'];
  const forever = [busyboxImage, 'sleep', 'infinity'];
  const label = (...labels: string[]): string[] => labels.flatMap((one) => ['--label', one]);
  const run = (name: string, ...words: string[]): Promise<string> =>
    host.docker('run', '-d', '--name', name, ...none, ...words, ...forever);
  const seen = async (name: string): Promise<string> => {
    const shown = await host.docker('exec', name, 'ip', '-o', 'address', 'show', 'eth0');
    const link = await host.docker('exec', name, 'cat', '/sys/class/net/eth0/address');
    return [...shown.matchAll(/inet6? (10\S+|fd08\S+)/g)]
      .map(([, ip]) => ip)
      .concat(link)
      .join(' ');
  };
  const nothingHeld = async (): Promise<void> => {
    await expect.poll(() => host.service.reservations(), { timeout: 20_000 }).toEqual([]);
    expect(await host.service.diagnose()).toEqual([]);
  };

  it('keeps addresses, MAC and ports over a stop while others start, and gives them back at rm', async () => {
    const before = await host.traces();
    const rate = 'eru.network/egress-rate=8000000';
    const id = await run('shop', ...label('fixed-ip', rate), '-p', '8080:80');
    const first = await seen('shop');
    expect(first).toMatch(/^10\.8\.0\.2\/24 fd08::2\/64 02:/);
    expect(await host.docker('exec', 'shop', 'cat', '/etc/hosts')).toMatch(/10\.8\.0\.2\t.*\nfd08::2\t/);
    await host.docker('exec', '-d', 'shop', 'httpd', '-h', '/etc', '-p', '80');
    const answered = async (): Promise<number> => (await fetch(`http://${host.machine.address}:8080/passwd`)).status;
    await expect.poll(() => answered().catch(() => 0), { timeout: 10_000 }).toBe(200);
    expect(await host.machine.runOk('tc', ['qdisc'])).toContain('tbf');
    await host.docker('stop', '-t', '0', 'shop');
    await run('other', ...label('fixed-ip=1'));
    expect(await seen('other')).toMatch(/^10\.8\.0\.3\/24/);
    expect(JSON.parse(await host.net('ip', id, '-o', 'json'))).toMatchObject([
      { state: 'reserved', addresses: [{ ip: '10.8.0.2' }, {}], ports: [{ hostPort: 8080, containerPort: 80 }] },
    ]);
    await host.docker('start', 'shop');
    expect(await seen('shop')).toBe(first);
    await host.docker('exec', 'shop', 'ping', '-c', '1', '-W', '5', '10.8.0.3');
    expect(await host.net('diag', '-o', 'json')).toBe('[]\n');
    await host.docker('rm', '-f', 'shop', 'other');
    await nothingHeld();
    expect(await host.traces()).toEqual(before);
  });

  it('passes what is not ours: a container on Docker’s own network, with a label that is off, with none at all', async () => {
    const inside = (...words: string[]): Promise<string> =>
      host.docker('run', '--rm', ...words, busyboxImage, 'ip', '-o', 'address');
    expect(await inside()).toMatch(/eth0/);
    expect(await inside(...label('fixed-ip'))).toMatch(/eth0.*198\.19\./);
    expect(await inside(...none)).not.toMatch(/eth0/);
    expect(await inside(...none, ...label('fixed-ip=False'))).not.toMatch(/eth0/);
    await nothingHeld();
  });
});
