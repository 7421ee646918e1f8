import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findApart, findHome, findRunning, writeRunning, type Role } from './running.ts';

describe('what a data folder knows of its Eru', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-running-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  /** As if noted at this second. */
  async function note(role: Role, home: object, second: number): Promise<void> {
    await writeRunning(folder, role, home);
    await utimes(path.join(folder, role === 'up' ? 'running.json' : `running-${role}.json`), second, second);
  }

  it('nothing of a new one', async () => {
    expect(await findHome(folder)).toBeUndefined();
    expect(await findRunning(folder)).toBeUndefined();
    expect(await findApart(folder)).toEqual([]);
  });

  it('the store is that of the last core, the node that of the last agent, in one process or apart', async () => {
    await note('core', { store: 'etcd://a' }, 1);
    expect(await findHome(folder)).toEqual({ store: 'etcd://a', node: undefined });
    await note('agent', { node: 'n1' }, 2);
    expect(await findHome(folder)).toEqual({ store: 'etcd://a', node: 'n1' });
    await note('up', { store: 'embedded', node: 'n2' }, 3);
    expect(await findHome(folder)).toEqual({ store: 'embedded', node: 'n2' });
    await note('core', { store: 'etcd://b' }, 4);
    expect(await findHome(folder)).toEqual({ store: 'etcd://b', node: 'n2' });
  });

  it('the parts that live, and none whose process number another one has now', async () => {
    await note('core', { store: 'embedded' }, 1);
    await note('runtime', {}, 1);
    await writeFile(
      path.join(folder, 'running-agent.json'),
      JSON.stringify({ boot: 'another', pid: process.pid, startTime: '1' }),
    );
    expect(await findApart(folder)).toEqual([
      { part: 'core', pid: process.pid },
      { part: 'runtime', pid: process.pid },
    ]);
    expect(await findRunning(folder)).toBeUndefined();
  });
});
