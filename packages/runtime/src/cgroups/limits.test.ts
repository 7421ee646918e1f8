import type { EngineParams } from '@eru/engines';
import { expect, test } from 'vitest';
import { wantedLimits } from './limits.ts';

const cpumem = { cpu: 1, cpu_map: null, numa_node: '', memory: 1024, remap: false };

// In the forms that the planner gives them (its kinds storage and gpu).
test.each<[EngineParams, string[]]>([
  [{ cpumem }, []],
  [{ cpumem, storage: { volumes: [], storage: 0, iops_options: {}, volume_changed: false } }, []],
  [{ cpumem, storage: { volumes: [], storage: 5, iops_options: {}, volume_changed: false } }, ['a storage limit']],
  [{ cpumem, storage: { volumes: ['/d1:/x:rw:40'], storage: 40, iops_options: {}, volume_changed: false } }, []],
  [
    { cpumem, storage: { volumes: ['/d1:/x:rw:40'], storage: 45, iops_options: {}, volume_changed: false } },
    ['a storage limit'],
  ],
  [{ cpumem, gpu: { prod_count_map: { a100: 1 } } }, ['GPUs']],
  [{ cpumem, gpu: { prod_count_map: { a100: 1 }, devices: ['GPU-1'] } }, ['GPUs']],
])('what no cgroup enforces is said: %j', (engineParams, beyond) => {
  const wanted = wantedLimits(engineParams, 0);
  expect(wanted.beyond).toEqual(beyond);
  expect(wanted.limits).toEqual({ cpu: 1, memoryBytes: 1024 });
});
