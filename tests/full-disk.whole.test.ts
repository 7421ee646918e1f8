import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { isErrno, runOk } from '@eru/kit';
import { afterEach, beforeEach, expect, it } from 'vitest';

import { answers, EruUnderTest, identity, traces } from './eru.ts';
import { describeAsRoot } from './parts.ts';

const hello = path.join(import.meta.dirname, '../examples/hello/app.yaml');

describeAsRoot(['runc'], 'a full disk', () => {
  let disk: string;
  let eru: EruUnderTest;

  beforeEach(async () => {
    disk = await mkdtemp(path.join(tmpdir(), 'eru-whole-disk-'));
    await runOk('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]);
    eru = EruUnderTest.on(path.join(disk, 'eru'));
  });
  afterEach(async () => {
    await empty();
    await eru.close();
    await runOk('umount', [disk]);
    await rm(disk, { recursive: true });
  });

  async function fill(): Promise<void> {
    await writeFile(path.join(disk, 'fill'), Buffer.alloc(2 ** 24)).catch((error: unknown) => {
      if (!isErrno(error, 'ENOSPC')) throw error;
    });
  }

  function empty(): Promise<void> {
    return rm(path.join(disk, 'fill'), { force: true });
  }

  it('is said before anything is begun', async () => {
    await fill();
    expect(await eru.up()).toEqual({
      code: 1,
      stdout: '',
      stderr: `eru: --data: the disk of ${eru.data} is full (0 free, 1M needed); make room, or choose another folder\n`,
    });
    expect(await readdir(disk)).toEqual(['fill']);
  });

  it('costs no workload: what runs goes on, a deploy is refused, and all is removed when there is room', async () => {
    const before = await traces();
    expect((await eru.up('--example', hello)).code).toBe(0);
    const first = await eru.ps();
    await fill();
    const { code, stderr } = await eru.run(['deploy', hello, '--count', '1']);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/disk (is )?full/);
    expect(identity(await eru.ps())).toEqual(identity(first));
    expect(await answers(first)).toEqual([200, 200, 200]);
    // Whether it can say what it could not remove, or waits: it ends when asked to.
    const down = await eru.run(['down', '--all'], { timeoutMs: 10_000 }).catch(() => ({ code: 1 }));
    expect(down.code).not.toBe(0);
    await empty();
    await eru.ok(['down', '--all']);
    expect(await traces()).toEqual(before);
  });
});
