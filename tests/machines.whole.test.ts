import { chown } from 'node:fs/promises';
import path from 'node:path';

import { run, type RunResult } from '@eru/kit';
import { expect, it } from 'vitest';

import { answers, EruUnderTest, traces } from './eru.ts';
import { describeAsRoot } from './parts.ts';

const clone = path.join(import.meta.dirname, '..');

interface Machine {
  name: string;
  /** Shell lines that change what Eru sees, in a mount namespace of its own. */
  setup?: string;
  uid?: number;
  /** What Eru must say of it at its start, and nothing else. */
  missing: RegExp[];
  /** Memory limits are in effect. */
  limited: boolean;
}

const noCgroups =
  /^Missing here: cgroups cannot be written for cpu, memory, pids, cpuset, io: these limits are not enforced$/;
const noRunc = (why: string): RegExp => new RegExp(`^Missing here: runc cannot be used here \\(${why}\\)`);

const machines: Machine[] = [
  { name: 'a clone on another mount than /', missing: [], limited: true },
  {
    name: 'a machine without runc',
    setup:
      'for runc in /usr/local/sbin/runc /usr/local/bin/runc /usr/sbin/runc /usr/bin/runc; do [ ! -e $runc ] || mount --bind /dev/null $runc; done',
    missing: [noRunc('it is not installed')],
    limited: true,
  },
  {
    name: 'a container with a read-only cgroup tree',
    setup: 'findmnt -rno TARGET -t cgroup,cgroup2 | while read -r tree; do mount -o remount,bind,ro "$tree"; done',
    missing: [noRunc('.*'), noCgroups],
    limited: false,
  },
  { name: 'an ordinary user', uid: 65534, missing: [noRunc('.*'), noCgroups], limited: false },
];

describeAsRoot(['runc'], 'what the machine offers is found by trying', () => {
  it.each(machines)(
    '$name: three healthy services, and a word about everything that is missing',
    { timeout: 120_000 },
    async (machine) => {
      const before = await traces();
      const eru = await EruUnderTest.create();
      try {
        if (machine.uid !== undefined) await chown(eru.data, machine.uid, machine.uid);
        const { code, stderr } = await upOn(machine, eru);
        expect({ code, stderr }).toMatchObject({ code: 0 });
        const said = stderr.split('\n').filter((line) => line.startsWith('Missing here'));
        expect(said).toHaveLength(machine.missing.length);
        for (const [index, words] of machine.missing.entries()) expect(said[index]).toMatch(words);
        const workloads = await eru.ps();
        expect(await answers(workloads)).toEqual([200, 200, 200]);
        for (const { limits } of workloads) {
          expect(limits.requested.memory).toBe(128 * 2 ** 20);
          expect(limits.effective.memory).toBe(machine.limited ? 128 * 2 ** 20 : null);
        }
      } finally {
        await eru.close();
      }
      expect(await traces()).toEqual(before);
    },
  );
});

/** The clone and node are at /mnt there, so that it does not matter who may read the folders above them. */
function upOn({ setup = '', uid }: Machine, eru: EruUnderTest): Promise<RunResult> {
  const script = `set -e
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/clone; touch /mnt/node
    mount --bind ${clone} /mnt/clone
    mount --bind ${process.execPath} /mnt/node
    ${setup}
    exec "$@"`;
  const as = uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'];
  const up = ['/mnt/node', '/mnt/clone/packages/eru/bin/eru.js', 'up', '--detach', '--listen', '127.0.0.1:0'];
  const example = ['--example', '/mnt/clone/examples/hello/app.yaml', '--data', eru.data];
  return run('unshare', ['--mount', 'sh', '-c', script, 'sh', ...as, ...up, ...example], { timeoutMs: 60_000 });
}
