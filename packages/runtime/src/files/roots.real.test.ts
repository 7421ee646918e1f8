import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import { pack, type Header } from 'tar-stream';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { describeAsRoot } from '../../../../tests/parts.ts';
import { TestNode } from '../node.suite.ts';
import { lines, specOf } from '../spec.suite.ts';

type Entry = Partial<Header> & { name: string; contents?: Buffer | string };

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const archive = pack();
  for (const { contents = '', ...header } of entries) archive.entry(header, contents as string);
  archive.finalize();
  const pieces: Buffer[] = [];
  for await (const piece of archive) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

describeAsRoot(['runc', 'conmon', 'busybox'], 'a root from a tar', () => {
  let folder: string;
  let node: TestNode;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-roots-'));
    node = await TestNode.create('conmon');
  });
  afterEach(async () => {
    await node.close();
    await rm(folder, { recursive: true });
  });

  const unpacked = (): Promise<string[]> => readdir(path.join(node.folder, 'roots')).catch(() => []);

  it('is unpacked once, written by each for itself, and goes with the last', { timeout: 60_000 }, async () => {
    const busybox: Entry = { name: './bin/busybox', mode: 0o755, contents: await readFile('/bin/busybox') };
    const links = ['sh', 'cat', 'ls', 'sleep'].map((name): Entry => {
      return { name: `./bin/${name}`, type: 'symlink', linkname: '/bin/busybox' };
    });
    const device: Entry = { name: './dev/kmsg', type: 'character-device', devmajor: 1, devminor: 11 };
    const tar = await tarOf([busybox, ...links, device, { name: './etc/passwd', contents: 'me:x:77:78::/:/bin/sh\n' }]);
    const [plain, zipped] = [path.join(folder, 'root.tar'), path.join(folder, 'root.tar.gz')];
    await writeFile(plain, tar);
    await writeFile(zipped, gzipSync(tar));
    const engine = await node.engine();
    const script = 'cat /note; echo $0 >> /note; ls /dev/kmsg; ls /; exec sleep 1000';
    const instances: string[] = [];
    for (const [archive, name] of [
      [plain, 'first'],
      [plain, 'second'],
      [zipped, 'third'],
    ] as const) {
      const root = { type: 'folder', path: archive, readOnly: false } as const;
      const { id } = await engine.create(specOf(['/bin/sh', '-c', script, name], { root, stopSignal: 'SIGKILL' }));
      instances.push(id);
      await engine.start(id);
    }
    expect(await unpacked()).toHaveLength(2);
    const [first = '', second = '', third = ''] = instances;
    await engine.stop(first, { graceMs: 0 });
    await engine.start(first);
    await engine.stop(first, { graceMs: 0 });
    const said = await lines(engine, first);
    expect(said).toContain('first');
    expect(said).not.toContain('/dev/kmsg');
    expect(said).not.toContain('second');
    expect(said).not.toContain('root');
    const as = { command: ['/bin/sh', '-c', 'cat /note'], env: [], dir: '', user: 'me', stdin: false, tty: false };
    const session = await engine.exec(second, as);
    expect(await session.exit).toBe(0);
    for (const id of [first, third]) await engine.remove(id, { force: true });
    expect(await unpacked()).toHaveLength(1);
    await engine.close();
    const later = await node.engine();
    expect(await unpacked()).toHaveLength(1);
    await later.remove(second, { force: true });
    expect(await unpacked()).toEqual([]);
  });

  it('never leads out of itself, and leaves nothing when it is refused', async () => {
    const outside = path.join(folder, 'outside');
    await mkdir(outside);
    const engine = await node.engine();
    const create = async (contents: Buffer): Promise<unknown> => {
      const file = path.join(folder, 'evil.tar');
      await writeFile(file, contents);
      return engine.create(specOf(['/bin/sh'], { root: { type: 'folder', path: file, readOnly: false } }));
    };
    const evil: Entry[][] = [
      [{ name: '../outside/x', contents: 'x' }],
      [{ name: `${outside}/x`, contents: 'x' }],
      [
        { name: 'way', type: 'symlink', linkname: outside },
        { name: 'way/x', contents: 'x' },
      ],
      [{ name: 'secret', type: 'link', linkname: '../../../../etc/passwd' }],
    ];
    for (const entries of evil) await expect(create(await tarOf(entries))).rejects.toMatchObject({ code: 'invalid' });
    await expect(create(Buffer.alloc(4096, 7))).rejects.toThrow(/no tar archive/);
    await expect(create(gzipSync(Buffer.alloc(4096, 7)).subarray(0, 20))).rejects.toMatchObject({ code: 'invalid' });
    expect(existsSync(path.join(outside, 'x'))).toBe(false);
    expect(await unpacked()).toEqual([]);
  });
});
