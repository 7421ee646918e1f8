import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { runOk, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine } from '@eru/runtime';
import { expect, it } from 'vitest';

import type { IoPlace } from './check.ts';
import { checkLimits } from './limit-checks.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['runc', 'conmon'], 'limits on this machine', () => {
  it('are enforced', { timeout: 120_000 }, async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-limits-'));
    const engine = await createProcessEngine({
      folder,
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      unenforced: 'refuse',
    });
    try {
      expect((await checkLimits(engine, await placeIn(folder))).filter(({ ok }) => !ok)).toEqual([]);
    } finally {
      await engine.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** A file of the folder's own disk, for two workloads' sake bound into theirs. */
async function placeIn(folder: string): Promise<IoPlace> {
  const files = path.join(folder, 'io');
  await mkdir(files);
  const file = await open(path.join(files, 'file'), 'w');
  await file.write(Buffer.alloc(2 ** 20, 1));
  await file.sync();
  await file.close();
  const { stdout } = await runOk('findmnt', ['--noheadings', '--output', 'SOURCE', '--target', files]);
  const [source, target] = ['/mnt/file', '/mnt/file'];
  return {
    device: stdout.trim(),
    source,
    target,
    more: { mounts: [{ source: files, target: '/mnt', readOnly: false }] },
  };
}
