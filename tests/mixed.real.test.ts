import { runOk } from '@eru/kit';
import { expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { EruUnderTest, identity } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { Registry } from './registry.ts';

const app = 'examples/mixed/app.yaml';

describeAsRoot(['runc', 'conmon', 'docker', 'busybox', 'registry'], 'a machine with processes and containers', () => {
  it('is one node that runs both, and keeps them apart in nothing but their engine', async () => {
    const dockerd = await Dockerd.start();
    const registry = await Registry.start(dockerd.machine.hostAddress);
    const eru = await EruUnderTest.create();
    const image = `${registry.name}/clock:1`;
    try {
      const docker = (...args: string[]) => runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args]);
      await docker('tag', busyboxImage, image);
      await docker('push', image);
      expect((await eru.up('--docker', `unix://${dockerd.socket}`)).stderr).toContain('docker');
      await eru.ok(['deploy', app, '--entry', 'web', '--wait']);
      await eru.ok(['deploy', app, '--entry', 'clock', '--image', image]);
      await expect
        .poll(async () => (await eru.ps()).map(({ running }) => running), { timeout: 20_000 })
        .toEqual([true, true]);
      const both = await eru.ps();
      expect(both.map(({ entrypoint }) => entrypoint).toSorted()).toEqual(['clock', 'web']);
      expect(new Set(both.map(({ node }) => node)).size).toBe(1);
      const idOf = (entrypoint: string): string => both.find((one) => one.entrypoint === entrypoint)?.id ?? '';
      for (const [entrypoint, said] of [
        ['web', 'node'],
        ['clock', 'sh'],
      ] as const) {
        const { stdout } = await eru.exec([idOf(entrypoint), '--', 'cat', '/proc/1/comm']);
        expect(stdout.trim()).toBe(said);
      }
      expect((await eru.ok(['logs', idOf('clock')])).stdout).toMatch(/\d\d:\d\d:\d\d/);

      // A dockerd that hangs takes nothing but its own with it.
      await dockerd.freeze();
      expect((await eru.exec([idOf('web'), '--', 'echo', 'here'])).stdout).toBe('here\n');
      dockerd.thaw();
      const [node] = JSON.parse((await eru.ok(['node', 'ls', '-o', 'json'])).stdout) as { available: boolean }[];
      expect(node?.available).toBe(true);

      const pid = await eru.pid();
      process.kill(pid, 'SIGKILL');
      await eru.up('--docker', 'auto');
      expect(identity(await eru.ps())).toEqual(identity(both));
      await eru.ok(['rm', '--force', ...both.map(({ id }) => id)]);
      expect(await eru.ps()).toEqual([]);
    } finally {
      await eru.close();
      await registry.remove();
      await dockerd.remove();
    }
  });
});
