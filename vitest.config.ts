import { availableParallelism } from 'node:os';
import path from 'node:path';
import { defineConfig } from 'vitest/config';

import LongestFirst from './tests/longest-first.ts';

const root = import.meta.dirname;
const resolve = {
  // Tests run on the sources, so that a failing line is a line that people wrote.
  alias: [{ find: /^@eru\/([a-z]+)$/, replacement: path.join(root, 'packages/$1/src/index.ts') }],
};

/** A test that forgets to say which Eru it means finds none, in place of the one that its user may run here. */
const env = { ERU_DATA: '/proc/none' };

/** On a busy machine the second that vitest gives by default is soon over; what does not come at all is found in time all the same. */
const patient = { poll: { timeout: 30_000 } };

/**
 * Fast suites first. `unit`: pure code, shared threads, no state between tests. `real`: with real components (etcd, runc,
 * conmon, dockerd), several at once, so each on a machine or in folders of its own. `whole`: the built command as a user runs
 * it, alone on this machine, for what is measured or left there is looked at. In CI a suite of the last two that fails may try a
 * second time (`scripts/test.mjs`).
 */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        resolve,
        test: {
          name: 'unit',
          include: ['packages/*/src/**/*.test.ts', 'simulation/**/*.test.ts', 'bench/**/*.test.ts', 'tests/*.test.ts'],
          exclude: ['**/*.real.test.ts', '**/*.whole.test.ts', '**/dist/**'],
          pool: 'threads',
          isolate: false,
          maxWorkers: availableParallelism(),
          env,
          expect: patient,
          testTimeout: 60_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve,
        test: {
          name: 'real',
          include: ['packages/*/src/**/*.real.test.ts', 'tests/**/*.real.test.ts'],
          exclude: ['**/dist/**'],
          pool: 'forks',
          fileParallelism: true,
          maxWorkers: 2,
          env,
          expect: patient,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        resolve,
        test: {
          name: 'whole',
          include: ['tests/**/*.whole.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          maxWorkers: 1,
          env,
          expect: patient,
          testTimeout: 300_000,
          hookTimeout: 300_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
