import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { DockerNetwork } from './docker-network.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], 'fixed addresses on plain Docker', () => {
  let host: DockerNetwork;
  beforeAll(async () => {
    host = await DockerNetwork.start();
    await host.net('create', 'web', '--subnet', '10.8.0.0/24', '--quarantine', '2s');
    await host.install();
  });
  afterAll(() => host?.remove());

  const run = (...words: string[]): Promise<string> =>
    host.docker('run', '-d', '--runtime', 'eru', '--network', 'none', ...words, busyboxImage, 'sleep', 'infinity');
  const seen = async (name: string): Promise<string> => {
    const shown = await host.docker('exec', name, 'ip', '-o', 'address', 'show', 'eth0');
    const link = await host.docker('exec', name, 'cat', '/sys/class/net/eth0/address');
    return `${/inet (\S+)/.exec(shown)?.[1]} ${link}`;
  };

  it('keeps address, MAC and ports over a stop while others start, and gives them back at rm', async () => {
    const before = await host.traces();
    const id = await run('--name', 'shop', '--label', 'fixed-ip', '-p', '8080:80');
    const first = await seen('shop');
    expect(first).toMatch(/^10\.8\.0\.2\/24 02:/);
    expect(await host.docker('exec', 'shop', 'cat', '/etc/hosts')).toContain('10.8.0.2');
    await host.docker('stop', '-t', '0', 'shop');
    await run('--name', 'other', '--label', 'fixed-ip=1');
    expect(await seen('other')).toMatch(/^10\.8\.0\.3\/24/);
    expect(JSON.parse(await host.net('ip', id, '-o', 'json'))).toMatchObject([
      { state: 'reserved', addresses: [{ ip: '10.8.0.2' }], ports: [{ hostPort: 8080, containerPort: 80 }] },
    ]);
    await host.docker('start', 'shop');
    expect(await seen('shop')).toBe(first);
    await host.docker('exec', 'shop', 'ping', '-c', '1', '-W', '5', '10.8.0.3');
    expect(await host.net('diag', '-o', 'json')).toBe('[]\n');
    await host.docker('rm', '-f', 'shop', 'other');
    await expect.poll(() => host.net('ip', '-o', 'json'), { timeout: 20_000 }).toBe('[]\n');
    expect(await host.net('ls')).toContain('0 bound, 0 reserved');
    expect(await host.traces()).toEqual(before);
  });
});
