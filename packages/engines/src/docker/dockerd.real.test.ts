import { runOk } from '@eru/kit';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';

describeAsRoot(['docker', 'busybox'], 'a private dockerd', () => {
  it('runs beside another, is reached from the host, and leaves nothing', async () => {
    const [one, two] = await Promise.all([Dockerd.start(), Dockerd.start()]);
    const docker = async (...args: string[]): Promise<string> =>
      (await runOk('docker', ['-H', `unix://${one.socket}`, ...args])).stdout;
    const id = await docker(
      'run',
      '-d',
      '--name',
      'web',
      '-p',
      '8080:80',
      busyboxImage,
      'sh',
      '-c',
      'echo hi >/tmp/x; exec httpd -f -p 80 -h /tmp',
    );
    const address = await docker('inspect', '-f', '{{.NetworkSettings.IPAddress}}', 'web');
    expect(await (await fetch(`http://${address.trim()}/x`)).text()).toBe('hi\n');
    expect(await (await fetch(`http://${one.machine.address}:8080/x`)).text()).toBe('hi\n');
    await one.stop('SIGKILL');
    await one.start();
    expect(await docker('ps', '-aq', '--no-trunc')).toBe(id);
    await docker('start', 'web');
    await docker('pause', 'web');
    await Promise.all([one.remove(), two.remove()]);
    expect(existsSync(one.machine.folder)).toBe(false);
    const left = await runOk('sh', [
      '-c',
      `find /sys/fs/cgroup -name "${one.machine.cgroup}"; ps ax | grep "${one.machine.cgroup}" | grep -v grep; ip route | grep -F "${one.machine.address} "; true`,
    ]);
    expect(left.stdout).toBe('');
  });
});
