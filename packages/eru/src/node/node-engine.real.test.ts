import { connectDocker, type Engine } from '@eru/engines';
import { silentLogger } from '@eru/kit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { DockerForContract } from '../../../../tests/docker-for-contract.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { engineContract, type EngineTraits } from '../../../engines/src/contract/contract.suite.ts';
import { openNodeEngine } from './node-engine.ts';

describeAsRoot(['runc', 'conmon', 'docker', 'busybox', 'registry'], 'processes and containers behind one', () => {
  const containers: EngineTraits = { spec: { image: busyboxImage } };
  const processes: EngineTraits = {
    unsupported: ['networkConnect', 'networkDisconnect', 'imageCommit', 'raw'],
  };
  let docker: DockerForContract;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-node-engine-'));
    docker = await DockerForContract.start();
    for (const traits of [containers, processes]) Object.assign(traits, docker.traits);
  });
  afterAll(async () => {
    await docker.remove();
    await rm(folder, { recursive: true, force: true });
  });

  /** As the daemon of a machine has it; the second finds what the first left. */
  const make = async (): Promise<{ engine: Engine; close: () => Promise<void> }> => {
    const engine = await openNodeEngine({
      folder,
      strict: false,
      docker: { engine: connectDocker(docker.endpoint), socket: docker.endpoint.slice('unix://'.length) },
      networks: undefined,
      logger: silentLogger,
    });
    return { engine, close: async () => {} };
  };
  engineContract('containers', make, containers);
  engineContract('processes', make, processes);
});
