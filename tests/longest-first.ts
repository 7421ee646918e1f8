import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Suites that take twenty seconds and more on two cores, the longest first. */
const longest = [
  'simulation/crash-sweep.test.ts',
  'simulation/external-sweep.test.ts',
  'simulation/seeds.test.ts',
  'tests/guest.real.test.ts',
  'packages/runtime/src/adoption.real.test.ts',
  'tests/container-day.real.test.ts',
  'tests/process-network.real.test.ts',
  'tests/docker-network.real.test.ts',
  'packages/runtime/src/contract.real.test.ts',
  'tests/barrel.real.test.ts',
  'packages/core/src/several-cores.real.test.ts',
];

/**
 * Begins with what takes longest, so that no worker is left alone with it at the end. A fresh clone, as in CI, knows no times of an
 * earlier run, and the order by size that is usual then would keep the shortest texts, which sweep most, for the last.
 */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const rank = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((file) => moduleId.endsWith(`/${file}`));
      return found === -1 ? longest.length : found;
    };
    return sorted.toSorted((a, b) => rank(a) - rank(b));
  }
}
