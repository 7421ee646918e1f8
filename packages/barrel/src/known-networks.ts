import { createHash } from 'node:crypto';

import type { NetworkService, NetworkStatus } from '@eru/network';
import type { Logger } from '@eru/kit';

/** Eru's networks, as Docker's clients name them. */
export class KnownNetworks {
  readonly #netd: NetworkService;
  readonly #logger: Logger;
  #known: readonly NetworkStatus[] = [];

  constructor(netd: NetworkService, logger: Logger) {
    this.#netd = netd;
    this.#logger = logger;
  }

  /** As of now. @throws EruError `unavailable` */
  async list(): Promise<readonly NetworkStatus[]> {
    this.#known = await this.#netd.networks({}, AbortSignal.timeout(10_000));
    return this.#known;
  }

  /** While the network daemon is silent, as last known: what is not ours must go on. */
  async listOrLast(): Promise<readonly NetworkStatus[]> {
    try {
      return await this.list();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the network daemon is silent');
      return this.#known;
    }
  }
}

/** By name, id, or what an id begins with if only one does. */
export function pick(networks: readonly NetworkStatus[], name: string): NetworkStatus | undefined {
  const exact = networks.find(({ definition }) => definition.name === name || networkId(definition.name) === name);
  if (exact !== undefined || !/^[0-9a-f]{4,63}$/.test(name)) return exact;
  const begun = networks.filter(({ definition }) => networkId(definition.name).startsWith(name));
  return begun.length === 1 ? begun[0] : undefined;
}

/** The same at every proxy. */
export function networkId(name: string): string {
  return createHash('sha256').update(`eru network ${name}`).digest('hex');
}

/** Of a container's interface while it is attached: another at each start, as Docker's. */
export function endpointId(netns: string, inode: string | undefined, ifname: string): string {
  return createHash('sha256').update(`${netns} ${inode} ${ifname}`).digest('hex');
}

/** Names that never are a network of ours. */
export function isBuiltIn(mode: string): boolean {
  return ['', 'default', 'bridge', 'host', 'none'].includes(mode) || mode.startsWith('container:');
}
