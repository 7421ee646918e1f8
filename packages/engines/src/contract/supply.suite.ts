import { describe, expect, it } from 'vitest';

import type { Bench, EngineTraits } from './bench.suite.ts';
import { all, refused } from './bench.suite.ts';
import { readTar, writeTar } from '../tar.ts';

const owned = { mode: 0o640, uid: 7, gid: 8 };

/** Files, networks and images: what a workload is supplied with. */
export function supplyTests(get: () => Bench, traits: EngineTraits): void {
  const lacks = (verb: 'copyTo' | 'networkConnect' | 'imageBuild' | 'imageCommit'): boolean =>
    traits.unsupported?.includes(verb) ?? false;
  const image = (name: string): string => `${traits.registry ?? ''}${name}`;

  describe('machine', () => {
    it('says what it is and what it lacks', async () => {
      await get().engine.ping();
      const info = await get().engine.info();
      expect(info.type).not.toBe('');
      expect(info.id).not.toBe('');
      expect(info.cpus).toBeGreaterThan(0);
      expect(info.memoryBytes).toBeGreaterThan(0);
      expect(await get().engine.info()).toMatchObject({ id: info.id });
    });
  });

  describe.skipIf(lacks('copyTo'))('copy', () => {
    it('takes files in before the start and gives them back', async () => {
      const { engine, programs } = get();
      const { id } = await get().created(programs.serves());
      const contents = Buffer.alloc(200_000, 'eru');
      await engine.copyTo(id, '/tmp', pieces(writeTar([['data/a.bin', { contents, ...owned }]])));
      const folder = readTar(Buffer.concat(await all(engine.copyFrom(id, '/tmp/data'))));
      expect([...folder.keys()]).toEqual(['data/a.bin']);
      const file = readTar(Buffer.concat(await all(engine.copyFrom(id, '/tmp/data/a.bin'))));
      expect(Buffer.compare(file.get('a.bin')?.contents ?? Buffer.alloc(0), contents)).toBe(0);
    });

    it('refuses what is not there and what leaves the target', async () => {
      const { engine, programs } = get();
      const { id } = await get().created(programs.serves());
      await refused(all(engine.copyFrom(id, '/nowhere')), 'not_found');
      await refused(
        engine.copyTo(id, '/tmp', pieces(writeTar([['../evil', { contents: Buffer.from('x'), ...owned }]]))),
        'invalid',
      );
      await refused(engine.copyTo(id, '/tmp', pieces(Buffer.alloc(1000, 'no tar'))), 'invalid');
    });
  });

  describe.skipIf(lacks('networkConnect'))('networks', () => {
    it('are joined and left', async () => {
      const { engine, programs } = get();
      const network = (await engine.networkList({ drivers: ['bridge'] })).find(({ subnets }) => subnets.length > 0);
      if (network === undefined) throw new Error('the engine has no bridge network');
      const id = await get().running(programs.serves(), { networks: {} });
      const present = Object.keys((await engine.inspect(id)).networks);
      const name = present.includes(network.name) ? 'extra' : network.name;
      const [address = ''] = await engine.networkConnect(id, name);
      expect((await engine.inspect(id)).networks).toMatchObject({ [name]: address });
      await refused(engine.networkConnect(id, name), 'exists');
      await engine.networkDisconnect(id, name);
      expect((await engine.inspect(id)).networks).not.toHaveProperty(name);
      await refused(engine.networkDisconnect(id, name), 'not_found');
      await refused(engine.networkConnect(id, 'no-such-network'), 'not_found');
    });

    it('give the wanted address to one', async () => {
      const { engine, programs } = get();
      const networks = await engine.networkList({ drivers: ['bridge'] });
      const network = networks.find(({ name }) => name === (traits.network ?? name));
      const wanted = `${network?.subnets[0]?.split('.').slice(0, 2).join('.')}.99.7`;
      const first = await get().created(programs.serves(), { networks: {} });
      const second = await get().created(programs.serves(), { networks: {} });
      if (traits.keepsAddresses === false) for (const { id } of [first, second]) await engine.start(id);
      expect(await engine.networkConnect(first.id, network?.name ?? '', { ipv4: wanted })).toEqual([wanted]);
      await refused(engine.networkConnect(second.id, network?.name ?? '', { ipv4: wanted }), 'busy');
    });
  });

  describe.skipIf(lacks('imageBuild'))('images', () => {
    it('are built, listed, pushed and removed', async () => {
      const { engine } = get();
      const reference = image('eru-contract-suite:1');
      const context = pieces(
        writeTar([['Dockerfile', { contents: Buffer.from('FROM scratch\nLABEL suite=contract\n'), ...owned }]]),
      );
      const build = { references: [reference], platform: '' };
      expect((await all(engine.imageBuild(build, context))).length).toBeGreaterThan(0);
      const [built] = await engine.imageList(image('eru-contract-suite'));
      expect(built?.tags).toEqual([reference]);
      expect((await all(engine.imagePush(reference))).length).toBeGreaterThan(0);
      expect(await engine.imageRemove(reference)).toContain(reference);
      expect(await engine.imageList(image('eru-contract-suite'))).toEqual([]);
      await refused(engine.imageRemove(reference), 'not_found');
      await refused(all(engine.imagePush(reference)), 'not_found');
    });

    it.skipIf(lacks('imageCommit'))('are made of a workload that goes on', async () => {
      const { engine } = get();
      const id = await get().running();
      const image = await engine.imageCommit(id, ['eru-contract-suite:a', 'eru-contract-suite:b']);
      const listed = await engine.imageList('eru-contract-suite');
      expect(listed).toEqual([{ id: image, tags: ['eru-contract-suite:a', 'eru-contract-suite:b'] }]);
      expect(await engine.inspect(id)).toMatchObject({ state: 'running' });
      await engine.imageBuildPrune();
      for (const tag of ['a', 'b']) await engine.imageRemove(`eru-contract-suite:${tag}`);
      expect(await engine.imageList('eru-contract-suite')).toEqual([]);
    });

    it('are pulled, kept while used, and pruned', async () => {
      const { engine, programs } = get();
      await all(engine.imagePull(image('contract-used:1')));
      await all(engine.imagePull(image('contract-idle:1')));
      await get().created(programs.serves(), { image: image('contract-used:1') });
      await refused(engine.imageRemove(image('contract-used:1')), 'precondition');
      await engine.imagePrune();
      expect(await engine.imageList(image('contract-used'))).toHaveLength(1);
      expect(await engine.imageList(image('contract-idle'))).toHaveLength(0);
    });
  });
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000);
}
