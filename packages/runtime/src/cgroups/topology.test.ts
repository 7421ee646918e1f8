import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { readTopology } from './topology.ts';

let sys: string;
beforeEach(() => {
  sys = mkdtempSync(path.join(tmpdir(), 'eru-topology-'));
});
afterEach(() => rmSync(sys, { recursive: true, force: true }));

function write(file: string, text: string): void {
  const full = path.join(sys, file);
  mkdirSync(path.dirname(full), { recursive: true });
  writeFileSync(full, `${text}\n`);
}

/** Two sockets, each a NUMA node of two physical cores with two threads: 0,4 1,5 | 2,6 3,7. */
function twoSockets(): void {
  for (let core = 0; core < 8; core += 1) {
    const socket = core % 4 < 2 ? 0 : 1;
    const shared = socket === 0 ? '0-1,4-5' : '2-3,6-7';
    write(`cpu/cpu${core}/topology/thread_siblings_list`, `${core % 4},${(core % 4) + 4}`);
    write(`cpu/cpu${core}/topology/physical_package_id`, String(socket));
    write(`cpu/cpu${core}/cache/index2/level`, '2');
    write(`cpu/cpu${core}/cache/index2/shared_cpu_list`, String(core));
    write(`cpu/cpu${core}/cache/index3/level`, '3');
    write(`cpu/cpu${core}/cache/index3/shared_cpu_list`, shared);
  }
  write('node/node0/cpulist', '0-1,4-5');
  write('node/node0/meminfo', 'Node 0 MemTotal:       1024 kB\nNode 0 MemFree:  1 kB');
  write('node/node1/cpulist', '2-3,6-7');
  write('node/node1/meminfo', 'Node 1 MemTotal:       2048 kB');
  write('node/node2/cpulist', ''); // memory without cores
  write('node/node2/meminfo', 'Node 2 MemTotal:       4096 kB');
}

test('threads, caches, sockets and NUMA nodes with their memory', () => {
  twoSockets();
  const halves = { '0': '0', '1': '0', '2': '1', '3': '1', '4': '0', '5': '0', '6': '1', '7': '1' };
  expect(readTopology(8, sys)).toEqual({
    smt: { '0': '0', '1': '1', '2': '2', '3': '3', '4': '0', '5': '1', '6': '2', '7': '3' },
    l3: { '0': '0', '1': '0', '2': '2', '3': '2', '4': '0', '5': '0', '6': '2', '7': '2' },
    socket: halves,
    numa: halves,
    numa_memory: { '0': 1024 * 1024, '1': 2048 * 1024 },
  });
});

test('what tells nothing is left out: one group of all, every core alone, or a core that is not known', () => {
  for (let core = 0; core < 4; core += 1) {
    write(`cpu/cpu${core}/topology/thread_siblings_list`, String(core));
    if (core < 3) write(`cpu/cpu${core}/topology/physical_package_id`, String(core % 2));
  }
  write('node/node0/cpulist', '0-3');
  expect(readTopology(4, sys)).toEqual({});
  expect(readTopology(4, path.join(sys, 'nowhere'))).toEqual({});
});
