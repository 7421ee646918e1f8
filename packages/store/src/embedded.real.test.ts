import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';

import { EruError, VirtualClock, retry, run, runOk } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { describeAsRoot } from '../../../tests/parts.ts';
import { storeConformance } from './conformance.suite.ts';
import { openEmbeddedStore } from './embedded.ts';

const folders: string[] = [];
async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-store-'));
  folders.push(folder);
  return folder;
}
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

describe('embedded', () => {
  storeConformance('embedded store', {
    open: async () => openEmbeddedStore({ folder: await newFolder() }),
    leaseMs: 1000,
  });
});

/** Writes pairs that must stay equal, in one transaction each, and prints what was acknowledged. */
const writer = `
  import { openEmbeddedStore } from ${JSON.stringify(import.meta.resolve('../dist/index.js'))};
  const store = await openEmbeddedStore({ folder: process.argv[1] });
  console.log('open');
  await Promise.all(Array.from({ length: 16 }, async (_, writer) => {
    for (let index = Number(process.argv[2]); ; index++) {
      const value = Buffer.from(index + ':' + 'x'.repeat(index % 2000));
      const { revision } = await store.txn({ then: [
        { op: 'put', key: 'one/' + writer, value }, { op: 'put', key: 'two/' + writer, value },
      ] });
      console.log(writer + ' ' + index + ' ' + revision);
    }
  }));`;

describe('a store whose process is killed', () => {
  it('has all that was acknowledged, nothing torn, and can be opened at once; not before', async () => {
    const folder = await newFolder();
    const acknowledged = new Map<number, number>();
    let revision = 0;
    for (let round = 0; round < 5; round++) {
      const child = spawn(process.execPath, ['--input-type=module', '-e', writer, folder, String(round * 1_000_000)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const exit = once(child, 'exit');
      let lines = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        if (line === 'open') {
          await expect(openEmbeddedStore({ folder })).rejects.toMatchObject({ code: 'busy' });
          continue;
        }
        const [writer, index, at] = line.split(' ').map(Number) as [number, number, number];
        acknowledged.set(writer, index);
        revision = Math.max(revision, at);
        if (++lines === 300 + round * 37) child.kill('SIGKILL');
      }
      await exit;
      const store = await openEmbeddedStore({ folder });
      const ones = await store.range({ prefix: 'one/' });
      const twos = await store.range({ prefix: 'two/' });
      expect(ones.revision).toBeGreaterThanOrEqual(revision);
      expect(ones.kvs.map(({ value, modRevision }) => [value, modRevision])).toEqual(
        twos.kvs.map(({ value, modRevision }) => [value, modRevision]),
      );
      for (const [writer, index] of acknowledged) {
        const found = ones.kvs.find(({ key }) => key === `one/${writer}`);
        expect(Number.parseInt(Buffer.from(found?.value ?? []).toString(), 10)).toBeGreaterThanOrEqual(index);
      }
      await store.close();
    }
  });

  it('ends leases of cores at opening and gives the others their full time anew', async () => {
    const folder = await newFolder();
    const clock = new VirtualClock();
    const before = await openEmbeddedStore({ folder, clock });
    const [core, agent] = [await before.grantLease(10_000), await before.grantLease(10_000)];
    await before.txn({
      then: [
        { op: 'put', key: 'cores/a', value: Buffer.from(''), lease: core.id },
        { op: 'put', key: 'status/nodes/n', value: Buffer.from(''), lease: agent.id },
      ],
    });
    await clock.advance(6000);
    await before.close();
    const store = await openEmbeddedStore({ folder, clock });
    expect((await store.range({ prefix: '' })).kvs.map(({ key }) => key)).toEqual(['status/nodes/n']);
    await expect(store.renewLease(core.id)).rejects.toMatchObject({ code: 'not_found' });
    await clock.advance(9000);
    expect(await store.get('status/nodes/n')).toBeDefined();
    const gone = (async () => {
      for await (const { events } of store.watch({ prefix: 'status/' })) if (events.length > 0) return events;
      return [];
    })();
    await clock.advance(1001);
    expect(await gone).toMatchObject([{ type: 'delete', key: 'status/nodes/n' }]);
    await store.close();
  });

  it('has a file whose size follows what is kept, not what was written', async () => {
    const folder = await newFolder();
    const store = await openEmbeddedStore({ folder, history: { revisions: 100, bytes: 1e6 } });
    for (let round = 0; round < 50; round++)
      await Promise.all(
        Array.from({ length: 64 }, (_, index) =>
          store.txn({ then: [{ op: 'put', key: `k/${index}`, value: Buffer.alloc(1000, round) }] }),
        ),
      );
    await store.close();
    expect((await stat(path.join(folder, 'store.lmdb'))).size).toBeLessThan(2_000_000);
  });

  it('refuses a format that it does not know', async () => {
    const folder = await newFolder();
    const { openLmdbPages } = await import('./lmdb-pages.ts');
    const pages = openLmdbPages(path.join(folder, 'store.lmdb'));
    const { durable } = await pages.write((writer) => writer.put('m', Buffer.from('{"format":2}')));
    await durable;
    await pages.close();
    await expect(openEmbeddedStore({ folder })).rejects.toMatchObject({ code: 'precondition' });
    // Nothing is held after a refusal.
    await expect(openEmbeddedStore({ folder })).rejects.toMatchObject({ code: 'precondition' });
  });

  it('undoes a transaction of the pages whose body throws', async () => {
    const { openLmdbPages } = await import('./lmdb-pages.ts');
    const pages = openLmdbPages(path.join(await newFolder(), 'x.lmdb'));
    const failing = pages.write((writer) => {
      writer.put('a', Buffer.from('1'));
      throw new EruError('failed', 'half way');
    });
    await expect(failing).rejects.toThrow('half way');
    expect(pages.read((reader) => reader.get('a'))).toBeUndefined();
    await pages.close();
  });
});

describeAsRoot([], 'a store on a full disk', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await newFolder();
    await runOk('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder]);
  });
  afterEach(() => run('umount', [folder]));

  it('fails clearly, stays consistent, and goes on when there is room', async () => {
    const store = await openEmbeddedStore({ folder, history: { revisions: 10, bytes: 100_000 } });
    const put = (key: string, bytes: number) =>
      store.txn({ then: [{ op: 'put', key, value: Buffer.alloc(bytes, 1) }] });
    const kept: string[] = [];
    let refused: unknown;
    for (let index = 0; refused === undefined; index++) {
      try {
        await put(`k/${index}`, 30_000);
        kept.push(`k/${index}`);
      } catch (error) {
        refused = error;
      }
    }
    expect(refused).toMatchObject({ code: 'failed' });
    expect(kept.length).toBeGreaterThan(5);
    const keys = (await store.range({ prefix: 'k/' })).kvs.map(({ key }) => key);
    expect(keys.toSorted()).toEqual(kept.toSorted());
    await runOk('mount', ['-o', 'remount,size=16m', folder]);
    await retry(() => put('after', 10), { attempts: 3 });
    expect(await store.get('after')).toBeDefined();
    await store.close();
    const again = await openEmbeddedStore({ folder });
    expect((await again.range({ prefix: 'k/' })).kvs).toHaveLength(kept.length);
    await again.close();
  });
});
