import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { DockerForContract } from '../../../../tests/docker-for-contract.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import type { EngineTraits } from '../contract/contract.suite.ts';
import { engineContract } from '../contract/contract.suite.ts';
import { connectDocker } from './connect.ts';

describeAsRoot(['docker', 'busybox', 'registry'], 'docker engine', () => {
  const traits: EngineTraits = { spec: { image: busyboxImage } };
  const make = async () => {
    const docker = await DockerForContract.start();
    Object.assign(traits, docker.traits);
    return { engine: connectDocker(docker.endpoint), close: () => docker.remove() };
  };
  engineContract('docker', make, traits);
});
