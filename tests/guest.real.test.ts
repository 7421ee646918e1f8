import { expect, it } from 'vitest';

import { runGuest } from './guest/guest.ts';
import { describeAsRoot } from './parts.ts';

describeAsRoot(['runc', 'conmon', 'busybox', 'qemu'], 'limits on cgroup version 2, in a guest', () => {
  it('are enforced', { timeout: 300_000 }, async () => {
    const { checks, console } = await runGuest();
    expect(console).toContain('DONE');
    expect(checks.map(({ name }) => name)).toContain('metrics: pressure on the processor');
    expect(checks.filter(({ ok }) => !ok)).toEqual([]);
  });
});
