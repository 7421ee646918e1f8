import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { retry } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { TestHost } from '../packages/network/src/host.suite.ts';
import { command } from './eru.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['cni', 'ip', 'iptables', 'ping'], 'eru netd and eru net, as in docs/network.md', () => {
  let host: TestHost;
  let daemon: ReturnType<typeof spawn>;
  const eru = (...words: string[]): string[] => [process.execPath, command, ...words];
  const net = (...words: string[]): Promise<string> => host.ok(...eru('net', ...words));
  const start = async (): Promise<void> => {
    daemon = spawn(...host.words(...eru('netd', '--node', 'here', '--data', path.join(host.folder, 'data'))), {
      stdio: 'ignore',
    });
    await retry(() => net('ls'), { attempts: 50, baseMs: 50, maxMs: 200 });
  };
  beforeEach(async () => {
    host = await TestHost.start();
    await start();
  });
  const kill = async (): Promise<void> => {
    const exit = once(daemon, 'exit');
    daemon.kill('SIGKILL');
    await exit;
  };
  afterEach(async () => {
    await kill();
    await host.stop();
  });

  it('a fixed address over stop and the death of the daemon, handed over, given back', async () => {
    const before = await host.traces();
    await net('create', 'web', '--subnet', '10.8.0.0/24', '--subnet', 'fd08::/64', '--quarantine', '0s');
    expect(
      await net('reserve', 'shop', '--network', 'web', '--ip', '10.8.0.10', '--publish', '8080:80', '-o', 'name'),
    ).toBe('10.8.0.10\nfd08::2\n');
    const netns = (await net('attach', 'shop', '--network', 'web')).trim();
    expect(netns).toBe('/run/eru/netns/shop');
    await net('attach', 'client', '--network', 'web');
    await host.ok('nsenter', '--net=/run/eru/netns/client', 'ping', '-c', '1', '-W', '5', '10.8.0.10');
    expect(JSON.parse(await net('ip', '10.8.0.10', '-o', 'json'))).toMatchObject([
      { owner: 'shop', state: 'bound', policy: 'fixed', node: 'here', ports: [{ hostPort: 8080, containerPort: 80 }] },
    ]);
    expect(await net('ls')).toMatch(/web +bridge +10\.8\.0\.0\/24, fd08::\/64 +2 bound, 0 reserved, 0 resting of 253/);
    await kill();
    await start();
    expect(await net('diag', '-o', 'json')).toBe('[]\n');
    await net('detach', 'client');
    await net('detach', 'shop');
    expect(JSON.parse(await net('ip', '-o', 'json'))).toMatchObject([{ owner: 'shop', state: 'reserved' }]);
    await net('transfer', 'shop', 'shop-2');
    await net('attach', 'shop-2', '--network', 'web', '--owner', 'shop-2');
    expect(await net('ip', 'shop-2', '-o', 'name')).toBe('10.8.0.10\nfd08::2\n');
    expect(await host.run(...eru('net', 'release', 'shop-2'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('stop the workload first'),
    });
    await net('detach', 'shop-2');
    await net('release', 'shop-2');
    await net('rm', 'web');
    expect(await net('ls', '-o', 'json')).toBe('[]\n');
    expect(await host.traces()).toEqual(before);
  });

  it('says what is wrong, and ends with the code for it', async () => {
    await net('create', 'web', '--subnet', '10.8.0.0/30');
    const failed = async (...words: string[]): Promise<string> => {
      const { code, stderr } = await host.run(...eru('net', ...words));
      return `${code} ${stderr.trim()}`;
    };
    expect(await failed('create', 'x', '--subnet', '10.8.0.5/24')).toBe(
      '2 eru: pool x: cidr: "10.8.0.5/24" is not allowed; did you mean 10.8.0.0/24?',
    );
    expect(await failed('attach', 'x', '--network', 'wep')).toBe('4 eru: there is no network wep; there are: web');
    await net('reserve', 'one', '--network', 'web');
    expect(await failed('reserve', 'two', '--network', 'web')).toMatch(
      /^3 eru: pool web \(10\.8\.0\.0\/30\) is full: of 1 addresses 1 are held/,
    );
    expect(await failed('ip', '10.8.0.9')).toMatch(/^4/);
    expect(await failed('ls', '--socket', '/run/none.sock')).toBe(
      '5 eru: no network daemon answers at /run/none.sock; start one with: eru netd',
    );
    await host.ok('mkdir', '-p', '/run/eru/netns');
    await host.ok('touch', '/run/eru/netns/stray');
    expect(await host.run(...eru('net', 'diag'))).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('belongs to nothing'),
    });
    expect(await host.run(...eru('net', 'diag', '--fix'))).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('repaired: namespace /run/eru/netns/stray'),
    });
  });
});
