import { seededRandom, systemClock } from '@eru/kit';
import { describe } from 'vitest';

import { engineContract, simulatedPrograms } from '../contract/contract.suite.ts';
import { SimulatedMachine } from './simulated.ts';
import type { SimulatedMachineOptions } from './simulated.ts';

function engineOf(options: Partial<SimulatedMachineOptions> = {}) {
  return async () => ({
    engine: new SimulatedMachine({ name: 'n1', clock: systemClock, random: seededRandom(1), ...options }).engine(),
    close: async () => {},
  });
}

describe('simulated engine', () => {
  engineContract('simulated', engineOf(), { programs: simulatedPrograms });
});
