import { retry, runOk } from '@eru/kit';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { EruUnderTest } from './eru.ts';
import { box, startHastyCore } from './hasty-core.ts';
import { describeAsRoot } from './parts.ts';
import { startRegistry } from './registry.ts';

const MiB = 2 ** 20;
const patient = { timeout: 20_000, interval: 50 };
const spoken = { command: ['true'], env: [], dir: '', user: '', stdin: false, tty: false };
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

  it('a dockerd that hangs longer than it is waited for: told in time, gone on with, nothing lost and nothing twice', async () => {
    const core = await startHastyCore(`unix://${dockerd.socket}`, dockerd.machine.folder);
    const ours = async (): Promise<{ id: string; name: string; memory: string; state: string }[]> => {
      const all = await docker('ps', '-aq', '--no-trunc', '--filter', `label=eru.coreid=${core.cluster}`);
      const format = '{{.Id}} {{.Name}} {{.HostConfig.Memory}} {{.State.Status}}';
      const told = all === '' ? '' : await docker('inspect', '-f', format, ...all.split('\n'));
      return told.split('\n').map((line) => {
        const [id = '', name = '', memory = '', state = ''] = line.split(' ');
        return { id, name: name.slice(1), memory, state };
      });
    };
    const cpumem = (asked: object): Record<string, Uint8Array> => ({ cpumem: Buffer.from(JSON.stringify(asked)) });
    const amounts = cpumem({ 'memory-request': 16 * MiB, 'memory-limit': 16 * MiB });
    const entrypoint = { name: 'web', commands: ['sh', '-c', 'trap exit TERM; while sleep 0.1; do :; done'] };
    const options = { name: 'hang', podname: 'default', image, entrypoint, ignorePull: true, resources: amounts };
    /** The names of those that were made, and why others were not. */
    const deploy = async (count: number): Promise<{ made: string[]; errors: string[] }> => {
      const told: { made: string[]; errors: string[] } = { made: [], errors: [] };
      for await (const { event } of core.eru.deploy({ options: { ...options, networks: { none: '' }, count } })) {
        if (event.case !== 'done') continue;
        if (event.value.success) told.made.push(event.value.name);
        else told.errors.push(event.value.error);
      }
      return told;
    };
    const steps = async (): Promise<string[]> =>
      (await all(core.eru.listOperations({}))).flatMap(({ step, slots }) => [step, ...slots.map((slot) => slot.step)]);
    try {
      expect((await deploy(3)).errors).toEqual([]);
      const [one, two, three] = (await ours()).toSorted((a, b) => (a.name < b.name ? -1 : 1));
      await dockerd.freeze();
      core.hurry(true);
      // What waits for the engine to answer ends later; it is begun before the others are told.
      const removed = all(core.eru.remove({ ids: [one?.id ?? ''], force: true }));
      const stopped = all(core.eru.control({ ids: [two?.id ?? ''], type: 'stop' }));
      const deployed = deploy(2);
      try {
        const exec = core.hasty.exec(three?.id ?? '', spoken, { signal: AbortSignal.timeout(60_000) });
        await expect(exec).rejects.toMatchObject({ code: 'timeout' });
        const realloc = core.eru.realloc({ id: three?.id ?? '', resources: amounts });
        await expect(realloc).rejects.toMatchObject({ code: 'timeout', details: { answered: true } });
        await expect(core.eru.checkNode({ node: box })).rejects.toMatchObject({ code: 'timeout' });
        // Its instances are told of before their objects, which may yet be made, are gone.
        await expect.poll(() => steps(), patient).toContain('undoing');
      } finally {
        core.hurry(false);
        dockerd.thaw();
      }
      const { made, errors } = await deployed;
      expect(made).toEqual([]);
      expect(errors).toEqual(Array.from({ length: 2 }, () => expect.stringContaining('no answer within 0.5 s')));
      expect(await removed).toMatchObject([{ success: true }]);
      // Whether it was stopped all the same is the engine's to say.
      expect(await stopped).toMatchObject([
        { success: false, error: expect.stringContaining('no answer within 0.5 s') },
      ]);
      await expect.poll(() => steps(), patient).toEqual([]);
      const known = new Set([two?.id, three?.id]);
      await expect.poll(async () => new Set((await ours()).map(({ id }) => id)), patient).toEqual(known);
      expect(await core.eru.checkNode({ node: box })).toMatchObject({ ok: true });
      // Docker has the amounts of the record, and no other object.
      const end = await ours();
      expect(new Set(end.map(({ id }) => id))).toEqual(known);
      expect(end.find(({ id }) => id === three?.id)).toEqual(three);
    } finally {
      await core.close();
    }
  });
});

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
