import { runOk } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { startRegistry } from '../../../../tests/registry.ts';
import { all } from '../contract/bench.suite.ts';
import type { Engine, Registries } from '../engine.ts';
import { connectDocker } from './connect.ts';

/** `eru` with the password `secret`. */
const account = 'eru:$2y$05$eruerueruerueruerueruO7nyVme0.g8jJMC1Utvwfh3DNxNWFpIe';

describeAsRoot(['docker', 'busybox', 'registry'], 'docker: pulls from a registry with accounts', () => {
  let dockerd: Dockerd;
  let registry: { name: string };
  let engine: Engine;
  let image: string;

  const as = (username: string, password: string): { registries: Registries } => ({
    registries: { 'other.example': { username: 'nobody', password: '' }, [registry.name]: { username, password } },
  });
  const names = async (): Promise<string[]> => (await engine.imageList(image)).flatMap(({ tags }) => tags);

  beforeAll(async () => {
    dockerd = await Dockerd.start();
    registry = await startRegistry(dockerd.machine, account);
    engine = connectDocker(`unix://${dockerd.socket}`);
    image = `${registry.name}/team/web:1`;
    await runOk('docker', ['-H', `unix://${dockerd.socket}`, 'tag', busyboxImage, image]);
    await all(engine.imagePush(image, as('eru', 'secret')));
    await engine.imageRemove(image);
  });
  afterAll(async () => {
    await engine?.close();
    await dockerd?.remove();
  });

  it('are refused without an account and with a wrong one, to push and to pull', async () => {
    for (const options of [{}, as('eru', 'wrong'), as('nobody', 'secret')]) {
      await expect(all(engine.imagePull(image, options))).rejects.toThrow(/unauthorized|authentication|credentials/i);
      expect(await names()).toEqual([]);
    }
    await runOk('docker', ['-H', `unix://${dockerd.socket}`, 'tag', busyboxImage, `${registry.name}/team/other:1`]);
    await expect(all(engine.imagePush(`${registry.name}/team/other:1`, as('eru', 'wrong')))).rejects.toThrow(
      /unauthorized|authentication|credentials|denied/i,
    );
  });

  it('at once are each by its own account, and those of one account share the work', async () => {
    const stranger = all(engine.imagePull(image)).catch(() => []);
    const [first, second] = await Promise.all([
      all(engine.imagePull(image, as('eru', 'secret'))),
      all(engine.imagePull(image, as('eru', 'secret'))),
      stranger,
    ]);
    expect(first.length).toBeGreaterThan(1);
    expect(second).toEqual(first);
    expect(await names()).toEqual([image]);
  });
});
