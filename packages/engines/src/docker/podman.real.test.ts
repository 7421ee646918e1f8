import { runOk } from '@eru/kit';

import { busyboxImage, importImage } from '../../../../tests/busybox-image.ts';
import { describeAsRoot } from '../../../../tests/parts.ts';
import { Podman } from '../../../../tests/podman.ts';
import { startRegistry } from '../../../../tests/registry.ts';
import { all } from '../contract/bench.suite.ts';
import type { EngineTraits } from '../contract/contract.suite.ts';
import { engineContract } from '../contract/contract.suite.ts';
import { connectDocker } from './connect.ts';

describeAsRoot(['podman', 'runc', 'conmon', 'cni', 'iptables', 'docker', 'busybox', 'registry'], 'podman', () => {
  const traits: EngineTraits = {
    spec: { image: busyboxImage },
    network: 'extra',
    unsupported: ['update'],
    keepsAddresses: false,
  };
  const make = async () => {
    const podman = await Podman.start();
    const engine = connectDocker(`unix://${podman.socket}`);
    const registry = await startRegistry(podman.machine);
    const docker = (...args: string[]) => runOk('docker', ['-H', `unix://${podman.socket}`, ...args]);
    await docker('network', 'create', '--subnet', '172.31.0.0/16', 'extra');
    // So that no prune takes its image.
    await docker('create', busyboxImage);
    traits.registry = `${registry.name}/`;
    for (const name of ['contract-used:1', 'contract-idle:1']) {
      const reference = `${registry.name}/${name}`;
      await importImage(podman.socket, podman.tree, reference);
      await all(engine.imagePush(reference));
      await engine.imageRemove(reference);
    }
    return { engine, close: () => podman.remove() };
  };
  engineContract('podman', make, traits);
});
