import { runOk } from '@eru/kit';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { EruUnderTest, identity, type Listed } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { startRegistry } from './registry.ts';

const app = 'examples/mixed/app.yaml';

describeAsRoot(['runc', 'conmon', 'docker', 'busybox', 'registry'], 'a machine with processes and containers', () => {
  it('is one node that runs both, and keeps them apart in nothing but their engine', async () => {
    const dockerd = await Dockerd.start();
    const registry = await startRegistry(dockerd.machine);
    const eru = await EruUnderTest.create();
    const image = `${registry.name}/clock:1`;
    try {
      const docker = (...args: string[]) => runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args]);
      await docker('tag', busyboxImage, image);
      await docker('push', image);
      expect((await eru.up('--docker', `unix://${dockerd.socket}`)).stderr).toContain('docker');
      await eru.ok(['deploy', app, '--entry', 'web', '--wait']);
      await eru.ok(['deploy', app, '--entry', 'clock', '--image', image]);
      await expect.poll(async () => (await eru.ps()).map(({ running }) => running)).toEqual([true, true]);
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

      // Who has a core of its own takes it from both, whatever runs it, and gives it back to both.
      const coresOf = ({ entrypoint, id }: Listed): Promise<number[]> =>
        coresIn(`${entrypoint === 'web' ? 'eru' : dockerd.machine.cgroup}/${id}`);
      const shared = (): Promise<number[][]> => Promise.all(both.map(coresOf));
      const [all = []] = await shared();
      for (const owner of [['web'], ['clock', '--image', image]]) {
        await eru.ok(['deploy', app, '--entry', ...owner, '--cpu', '1', '--cpu-bind']);
        const [bound] = (await eru.ps()).filter(({ id }) => both.every((other) => other.id !== id));
        if (bound === undefined) throw new Error('what was deployed is not shown');
        const own = await coresOf(bound);
        expect(own).toHaveLength(1);
        const pool = all.filter((core) => !own.includes(core));
        await expect.poll(shared).toEqual([pool, pool]);
        await eru.ok(['rm', '--force', bound.id]);
        await expect.poll(shared).toEqual([all, all]);
      }

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
      await dockerd.remove();
    }
  });
});

/** The cores that the kernel lets a control group use, of either version. */
async function coresIn(group: string): Promise<number[]> {
  const ofVersion1 = path.join('/sys/fs/cgroup/cpuset', group, 'cpuset.effective_cpus');
  const file = existsSync(ofVersion1) ? ofVersion1 : path.join('/sys/fs/cgroup', group, 'cpuset.cpus.effective');
  const list = await readFile(file, 'utf8');
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });
}
