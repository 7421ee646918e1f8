import { machineOf } from './planner/fleets.ts';
import { measureFleet } from './planner/matrix.ts';
import { countsOnly, hundredInstances } from './planner/spreads.ts';
import type { Bench } from './table.ts';

/** Decisions on fleets that are half full: the first of its kind, and the next ones, after 100 nodes have changed. */
export const plannerBench: Bench = {
  name: 'planner',
  *run({ quick }) {
    yield [countsOnly(), ...hundredInstances(quick ? 5_000 : 50_000)];
    for (const cores of [24, 96, 256]) {
      for (const numaNodes of [1, 2]) {
        for (const size of quick ? [1_000] : [1_000, 10_000, 50_000]) {
          for (const classes of [20, size]) yield measureFleet(machineOf(cores, numaNodes), size, classes);
        }
      }
    }
  },
};
