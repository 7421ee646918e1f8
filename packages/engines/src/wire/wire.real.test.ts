import { serve } from '@eru/contract';
import { seededRandom, systemClock } from '@eru/kit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { engineContract, simulatedPrograms } from '../contract/contract.suite.ts';
import type { Engine } from '../engine.ts';
import { SimulatedMachine } from '../simulated/simulated.ts';
import { connectEngine } from './wire-client.ts';
import { engineService } from './wire-service.ts';

async function overSocket(engine: Engine): Promise<{ engine: Engine; close: () => Promise<void> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-wire-'));
  const serving = await serve({ listen: `unix://${folder}/engine.sock`, services: [engineService(engine)] });
  const close = async (): Promise<void> => {
    await serving.close();
    await engine.close();
    await rm(folder, { recursive: true });
  };
  return { engine: connectEngine({ address: serving.address }), close };
}

engineContract(
  'simulated, over a socket',
  () => overSocket(new SimulatedMachine({ name: 'n1', clock: systemClock, random: seededRandom(1) }).engine()),
  { programs: simulatedPrograms },
);
