import { runOk } from '@eru/kit';

import type { EngineTraits } from '../packages/engines/src/contract/contract.suite.ts';
import { busyboxImage } from './busybox-image.ts';
import { Dockerd } from './dockerd.ts';
import { startRegistry } from './registry.ts';

/** A dockerd with all that the engine contract suite needs: a second network, and a registry with two images. */
export class DockerForContract {
  readonly endpoint: string;
  readonly traits: Required<Pick<EngineTraits, 'network' | 'registry'>>;
  readonly #dockerd: Dockerd;

  static async start(): Promise<DockerForContract> {
    const dockerd = await Dockerd.start();
    const registry = await startRegistry(dockerd.machine);
    const docker = (...args: string[]) => runOk('docker', ['-H', `unix://${dockerd.socket}`, ...args]);
    await docker('network', 'create', '--subnet', '172.31.0.0/16', 'extra');
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
    return new DockerForContract(dockerd, registry.name);
  }

  private constructor(dockerd: Dockerd, registry: string) {
    this.endpoint = `unix://${dockerd.socket}`;
    this.traits = { network: 'extra', registry: `${registry}/` };
    this.#dockerd = dockerd;
  }

  async remove(): Promise<void> {
    await this.#dockerd.remove();
  }
}
