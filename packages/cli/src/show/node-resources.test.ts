import { expect, it } from 'vitest';

import { amountText, coresText, resourceRows } from './node-resources.ts';

const capacity = JSON.stringify({
  cpumem: {
    cpu: 4,
    cpu_map: { 0: 100, 1: 100, 2: 100, 10: 100 },
    memory: 8 * 2 ** 30,
    numa: { 0: '0', 1: '0', 2: '1', 10: '1' },
    numa_memory: { 0: 4 * 2 ** 30, 1: 4 * 2 ** 30 },
  },
  gpu: { prod_count_map: { a100: 4 } },
  storage: {
    storage: 150 * 2 ** 30,
    volumes: { '/data': 50 * 2 ** 30 },
    disks: [
      {
        device: '/dev/sda',
        mounts: ['/data'],
        read_IOPS: 5000,
        write_IOPS: 4000,
        read_bps: 2 ** 29,
        write_bps: 2 ** 28,
      },
    ],
  },
  affinity: {},
  licences: { seats: 3 },
});
const usage = JSON.stringify({
  cpumem: { cpu: 1.3, cpu_map: { 0: 0, 1: 100, 2: 30, 10: 0 }, memory: 2 ** 30, numa_memory: { 0: 2 ** 30, 1: 0 } },
  gpu: { prod_count_map: { a100: 1 } },
  storage: {
    storage: 2 ** 30,
    volumes: { '/data': 2 ** 30 },
    disks: [{ device: '/dev/sda', read_IOPS: 10, write_IOPS: 0, read_bps: 2 ** 20, write_bps: 0 }],
  },
  affinity: { workloads: [{ count: 3, labels: { app: 'hello', entrypoint: 'web' } }] },
  licences: { seats: 1 },
});

it('says of every kind what is in use of what there is', () => {
  expect(resourceRows(capacity, usage)).toEqual([
    ['Cores', '1.3 / 4; bound: 1, 2 (30 of 100 pieces)'],
    ['Memory', '1G / 8G'],
    ['NUMA', '0: cores 0,1, memory 1G / 4G\n1: cores 2,10, memory 0 / 4G'],
    ['GPU', 'a100: 1 / 4'],
    ['Storage', '1G / 150G'],
    ['Volumes', '/data: 1G / 50G'],
    ['Disks', '/dev/sda at /data: read 10 / 5000 IOPS, 1M / 512M B/s; write 0 / 4000 IOPS, 0 / 256M B/s'],
    ['Affinity', '3 with app=hello, entrypoint=web'],
    ['licences', '{"seats":1} / {"seats":3}'],
  ]);
});

it('leaves empty what a node lacks, and takes no usage as none', () => {
  const rows = resourceRows('{"cpumem":{"cpu":2,"memory":1024},"storage":{"storage":0},"gpu":{}}', 'null');
  expect(rows.filter(([, value]) => value !== '')).toEqual([
    ['Cores', '0 / 2'],
    ['Memory', '0 / 1K'],
  ]);
});

it('shows text that is no JSON as it came', () => {
  expect(resourceRows('no idea', '')).toEqual([['Capacity', 'no idea']]);
  expect(amountText('no idea', '', 'cpumem', 'cpu', coresText)).toBe('-');
  expect(amountText(capacity, usage, 'cpumem', 'cpu', coresText)).toBe('1.3/4');
});
