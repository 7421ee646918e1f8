import { EruError } from '@eru/kit';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import type { CgroupTree } from './cgroup.ts';

/** How long the kernel may take to bring every process of a group to rest; one in the middle of a disk access is waited for. */
const freezeMs = 10_000;
/** On v1 a group that gains a process while it freezes stays half-way: let go and tried again, as runc does. */
const againMs = 200;

/**
 * The kernel's freezer: the one truth of whether a workload is paused, so that it needs no note on disk. On v1 it is a
 * controller (`freezer.state`), on v2 part of every group (`cgroup.freeze`).
 */
export function isFrozen(tree: CgroupTree, group: string): boolean {
  if (tree.version === 2) return /^frozen 1$/m.test(read(tree, group, 'cgroup.events'));
  return read(tree, group, 'freezer.state').trim() === 'FROZEN';
}

/** Resolves when no process of the group runs. @throws EruError `timeout`, with everything let go again */
export async function freeze(tree: CgroupTree, group: string): Promise<void> {
  for (let waited = 0; waited < freezeMs; waited += 2) {
    if (waited % againMs === 0) {
      if (waited > 0) thaw(tree, group);
      write(tree, group, 'freeze');
    }
    if (isFrozen(tree, group)) return;
    await sleep(2);
  }
  thaw(tree, group);
  throw new EruError('timeout', `its processes did not come to rest within ${freezeMs / 1000} s; they run on`);
}

/** Lets a group run; one that runs, or is not there, is left as it is. */
export function thaw(tree: CgroupTree, group: string): void {
  if (tree.mounts.freezer === undefined) return;
  try {
    write(tree, group, 'thaw');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function write(tree: CgroupTree, group: string, what: 'freeze' | 'thaw'): void {
  const [file, value] =
    tree.version === 2
      ? ['cgroup.freeze', what === 'freeze' ? '1' : '0']
      : ['freezer.state', what === 'freeze' ? 'FROZEN' : 'THAWED'];
  writeFileSync(path.join(tree.mounts.freezer ?? '', group, file), value, { flag: 'r+' });
}

/** Empty where there is no such group. */
function read(tree: CgroupTree, group: string, file: string): string {
  if (tree.mounts.freezer === undefined) return '';
  try {
    return readFileSync(path.join(tree.mounts.freezer, group, file), 'utf8');
  } catch {
    return '';
  }
}
