import { retry, runOk } from '@eru/kit';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { EruUnderTest } from './eru.ts';
import { describeAsRoot } from './parts.ts';
import { startRegistry } from './registry.ts';

const spec = path.join(import.meta.dirname, '../examples/container/app.yaml');

describeAsRoot(['docker', 'busybox', 'registry'], 'containers, as a user runs them', () => {
  let eru: EruUnderTest;
  let dockerd: Dockerd;
  let registry: { name: string };
  let image: string;

  const docker = async (...args: string[]): Promise<string> =>
    (await runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args])).stdout.trim();
  const ids = async (): Promise<string[]> => (await docker('ps', '-aq', '--no-trunc')).split('\n').toSorted();

  beforeAll(async () => {
    [eru, dockerd] = await Promise.all([EruUnderTest.create(), Dockerd.start()]);
    registry = await startRegistry(dockerd.machine);
    image = `${registry.name}/team/web:1`;
    await docker('tag', busyboxImage, image);
    await docker('push', '-q', image);
    await docker('rmi', image, busyboxImage);
    expect((await eru.up()).code).toBe(0);
  });
  afterAll(async () => {
    await eru?.close();
    await dockerd?.remove();
  });

  it('a docker daemon becomes a node with its whole capacity', async () => {
    const endpoint = `unix://${dockerd.socket}`;
    await eru.ok(['node', 'add', 'default', '--nodename', 'box', '--endpoint', endpoint, '--test']);
    const { stdout } = await eru.ok(['node', 'get', 'box', '-o', 'json']);
    expect(JSON.parse(stdout)).toMatchObject({ name: 'box', endpoint });
  });

  it('a deploy pulls the image and runs containers that answer, limited as booked', async () => {
    await eru.ok(['deploy', spec, '--image', image, '--node', 'box'], { timeoutMs: 120_000 });
    const listed = await eru.ps();
    expect(listed).toHaveLength(2);
    expect(await ids()).toEqual(listed.map(({ id }) => id).toSorted());
    for (const { id, node, engine } of listed) {
      expect({ node, engine }).toEqual({ node: 'box', engine: 'docker' });
      const [container] = JSON.parse(await docker('inspect', id)) as {
        HostConfig: Record<string, unknown>;
        NetworkSettings: { IPAddress: string };
      }[];
      expect(container?.HostConfig).toMatchObject({ CpuQuota: 50_000, CpuPeriod: 100_000, Memory: 64 * 1024 ** 2 });
      const url = `http://${container?.NetworkSettings.IPAddress}:8080/passwd`;
      await retry(async () => expect((await fetch(url)).status).toBe(200), { attempts: 40, maxMs: 250 });
    }
  });

  it('commands, files and logs go through', async () => {
    const [first] = await eru.ps();
    const name = first?.name ?? '';
    expect((await eru.exec([name, '--', 'sh', '-c', 'echo $APP_NAME; exit 3'])).stdout).toBe('web\n');
    const file = path.join(eru.data, 'sent.txt');
    await eru.ok(['cp', spec, `${name}:/tmp/app.yaml`]);
    await eru.ok(['cp', `${name}:/tmp/app.yaml`, file]);
    expect((await runOk('cmp', [spec, file])).code).toBe(0);
  });

  it('limits change while it runs', async () => {
    const [first] = await eru.ps();
    const id = first?.id ?? '';
    const pid = await docker('inspect', '-f', '{{.State.Pid}}', id);
    await eru.ok(['realloc', id, '--memory', '32M']);
    expect(await docker('inspect', '-f', '{{.State.Pid}} {{.HostConfig.Memory}}', id)).toBe(`${pid} ${96 * 1024 ** 2}`);
  });

  it('what is stopped and removed is gone, and nothing else', async () => {
    const [first, second] = await eru.ps();
    await eru.ok(['rm', '--force', first?.id ?? '']);
    expect(await ids()).toEqual([second?.id]);
    const check = await eru.run(['node', 'check', 'box']);
    expect(check).toMatchObject({ code: 0 });
  });
});
