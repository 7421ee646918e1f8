import { connectDocker, writeTar } from '@eru/engines';
import { silentLogger, type JsonObject } from '@eru/kit';
import { create, pb, type MessageInitShape } from '@eru/contract';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { startRegistry } from '../../../../tests/registry.ts';
import { buildImage, type BuildPlace, type ImageSource } from './build-image.ts';
import { buildPlan } from './build-plan.ts';
import { noBuilds } from './build-settings.ts';

const file = { mode: 0o644, uid: 0, gid: 0 };

/** `eru` with the password `secret`. */
const account = 'eru:$2y$05$eruerueruerueruerueruO7nyVme0.g8jJMC1Utvwfh3DNxNWFpIe';

describe.each([
  ['the classic builder', false],
  ['BuildKit', true],
])('%s', (_name, buildkit) =>
  describeAsRoot(['docker', 'busybox', 'registry'], 'builds images on a real docker', () => {
    let dockerd: Dockerd;
    let registry: { name: string };
    let place: BuildPlace;
    /** A base image that its registry has: nothing beyond this machine is asked for it. */
    let base: string;
    const registries = () => ({ [registry.name]: { username: 'eru', password: 'secret' } });

    beforeAll(async () => {
      dockerd = await Dockerd.start([], { features: { buildkit } });
      registry = await startRegistry(dockerd.machine, account);
      place = {
        engine: connectDocker(`unix://${dockerd.socket}`),
        settings: { ...noBuilds, scm: 'git', home: { hub: registry.name, namespace: 'team' } },
        registries: registries(),
        logger: silentLogger,
        signal: AbortSignal.timeout(100_000),
      };
      base = `${registry.name}/base:1`;
      const archive = Readable.from([
        writeTar([['Dockerfile', { ...file, contents: Buffer.from(`FROM ${busyboxImage}`) }]]),
      ]);
      await all(place.engine.imageBuild({ references: [base], platform: '' }, archive));
      await all(place.engine.imagePush(base, { registries: registries() }));
    });
    afterAll(async () => {
      await place.engine.close();
      await dockerd.remove();
    });

    async function build(
      source: ImageSource,
      references: string[],
      changed: Partial<BuildPlace> = {},
    ): Promise<JsonObject[]> {
      const objects: JsonObject[] = [];
      for await (const object of buildImage({ source, references, platform: '' }, { ...place, ...changed }))
        objects.push(object);
      return objects;
    }

    const planned = (builds: MessageInitShape<typeof pb.BuildsSchema>): ImageSource => ({
      from: 'plan',
      ...buildPlan(create(pb.BuildsSchema, builds)),
      user: { name: 'app', uid: 4321 },
    });

    async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
      const list: T[] = [];
      for await (const item of items) list.push(item);
      return list;
    }

    test('stages hand files on, and the result runs from the registry', async () => {
      const reference = `${registry.name}/team/app:1`;
      const source = planned({
        stages: ['make', 'run'],
        builds: {
          make: {
            base,
            dir: '/make',
            envs: { WORD: 'hello' },
            commands: ['echo $WORD >out'],
            cache: { '/make/out': '/srv/out' },
          },
          run: { base, labels: { stage: 'final' }, commands: ['cat /srv/out'] },
        },
      });
      const said = await build(source, [reference, `${registry.name}/team/app:latest`]);
      const stream = said.map((line) => (typeof line['stream'] === 'string' ? line['stream'] : '')).join('');
      expect(stream).toContain('hello\n');
      expect(stream).toContain('app::4321:4321:app');
      expect(said.filter(({ status }) => status === 'finished').map(({ progress }) => progress)).toEqual([
        reference,
        `${registry.name}/team/app:latest`,
      ]);
      await expect.poll(() => place.engine.imageList(`${registry.name}/team/app`)).toEqual([]);
      await all(place.engine.imagePull(reference, { registries: registries() }));
      expect(await place.engine.imageList(`${registry.name}/team/app`)).toMatchObject([{ tags: [reference] }]);
      await place.engine.imageRemove(reference);
    });

    test('a build that fails tells the code of its command, and nothing is pushed', async () => {
      const said = await build(planned({ stages: ['a'], builds: { a: { base, commands: ['exit 7'] } } }), [
        `${registry.name}/team/bad:1`,
      ]);
      expect(said.at(-1)).toMatchObject({ error: expect.stringContaining('exit 7'), errorDetail: { code: 7 } });
      expect(said.some(({ status }) => status === 'finished')).toBe(false);
    });

    test('an archive is built; without a hub its image stays', async () => {
      const dockerfile = { ...file, contents: Buffer.from(`FROM ${base}\nCOPY word /word\n`) };
      const archive = writeTar([
        ['Dockerfile', dockerfile],
        ['word', { ...file, contents: Buffer.from('word') }],
      ]);
      // Its registry refuses at once: nobody has to wait for a name that cannot be resolved.
      const reference = '127.0.0.1:1/stays:1';
      const said = await build({ from: 'tar', archive }, [reference], { settings: noBuilds });
      expect(said.at(-1)).toEqual({ stream: `finished ${reference}\n`, status: 'finished', progress: reference });
      expect(await place.engine.imageList('127.0.0.1:1/stays')).toHaveLength(1);
      // No registry has it: the node's own is as good.
      expect((await all(place.engine.imagePull(reference))).at(-1)).toMatchObject({
        status: expect.stringContaining(`the node's own ${reference} is used: `),
      });
      await expect(all(place.engine.imagePull('127.0.0.1:1/stays:2'))).rejects.toThrow();
    });

    test('a push without an account is told, and the next is tried', async () => {
      const references = ['a', 'b'].map((tag) => `${registry.name}/team/secret:${tag}`);
      const dockerfile = { ...file, contents: Buffer.from(`FROM ${base}\nLABEL a=b\n`) };
      const said = await build({ from: 'tar', archive: writeTar([['Dockerfile', dockerfile]]) }, references, {
        registries: {},
      });
      expect(said.filter(({ error }) => error !== undefined)).toHaveLength(2);
      expect(said.some(({ status }) => status === 'finished')).toBe(false);
    });

    test('a base that nobody has is named', async () => {
      const said = await build(planned({ stages: ['a'], builds: { a: { base: `${registry.name}/none:1` } } }), [
        `${registry.name}/x:1`,
      ]);
      expect(said[0]).toMatchObject({ status: expect.stringMatching(/none:1 is not fetched/) });
      expect(said.at(-1)).toMatchObject({ error: expect.stringMatching(/./) });
    });
  }),
);
