import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { silentLogger, systemClock, systemRandom } from '@eru/kit';
import { createProcessEngine } from '@eru/runtime';
import { expect, it } from 'vitest';

import { runGuest } from './guest/guest.ts';
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
      expect((await checkLimits(engine)).filter(({ ok }) => !ok)).toEqual([]);
    } finally {
      await engine.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});

describeAsRoot(['runc', 'conmon', 'busybox', 'qemu'], 'limits on cgroup version 2, in a guest', () => {
  it('are enforced', { timeout: 300_000 }, async () => {
    const { checks, console } = await runGuest();
    expect(console).toContain('DONE');
    expect(checks.length).toBeGreaterThan(5);
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  });
});
