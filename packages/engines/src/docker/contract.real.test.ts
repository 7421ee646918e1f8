import { runOk } from '@eru/kit';

import { busyboxImage } from '../../../../tests/busybox-image.ts';
import { Dockerd } from '../../../../tests/dockerd.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { Registry } from '../../../../tests/registry.ts';
import type { EngineTraits } from '../contract/contract.suite.ts';
import { engineContract } from '../contract/contract.suite.ts';
import { connectDocker } from './connect.ts';

describeAsRoot(['docker', 'busybox', 'registry'], 'docker engine', () => {
  const traits: EngineTraits = { spec: { image: busyboxImage }, network: 'extra' };
  const make = async () => {
    const dockerd = await Dockerd.start();
    const registry = await Registry.start(dockerd.machine.hostAddress);
    const docker = (...args: string[]) => runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args]);
    await docker('network', 'create', '--subnet', '172.31.0.0/16', 'extra');
    traits.registry = `${registry.name}/`;
    for (const name of ['contract-used:1', 'contract-idle:1']) {
      const reference = `${registry.name}/${name}`;
      // A layer of its own: of two names of one image, either could be untagged.
      await docker(
        'commit',
        '--change',
        `LABEL name=${name}`,
        (await docker('create', busyboxImage)).stdout.trim(),
        reference,
      );
      await docker('push', reference);
      await docker('rmi', reference);
    }
    const close = async (): Promise<void> => {
      await registry.remove();
      await dockerd.remove();
    };
    return { engine: connectDocker(`unix://${dockerd.socket}`), close };
  };
  engineContract('docker', make, traits);
});
