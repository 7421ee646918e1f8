import { EruError } from '@eru/kit';

import type { EngineNetwork } from '../engine.ts';

/** The networks of a simulated machine and who holds which address. */
export class SimulatedNetworks {
  readonly #networks: readonly EngineNetwork[] = [
    { name: 'host', driver: 'host', subnets: [] },
    { name: 'none', driver: 'null', subnets: [] },
    { name: 'bridge', driver: 'bridge', subnets: ['172.17.0.0/16'] },
    { name: 'extra', driver: 'bridge', subnets: ['172.18.0.0/16'] },
  ];
  /** `network address` -> holder */
  readonly #held = new Map<string, string>();

  list(drivers: readonly string[]): EngineNetwork[] {
    return this.#networks.filter(({ driver }) => drivers.length === 0 || drivers.includes(driver));
  }

  /**
   * Gives the wanted address, or the lowest free one; a wanted one also from a holder that lends it. Throws `not_found`, `busy`,
   * `invalid`.
   */
  take(network: string, holder: string, wanted: string, lends: (holder: string) => boolean): string {
    const found = this.#networks.find(({ name }) => name === network);
    if (found === undefined) throw new EruError('not_found', `no network ${network}`);
    if (found.driver === 'host') return '127.0.0.1';
    const prefix = found.subnets[0]?.split('.').slice(0, 2).join('.');
    if (prefix === undefined) return '';
    if (wanted !== '' && !wanted.startsWith(`${prefix}.`))
      throw new EruError('invalid', `ipv4: ${wanted} is not in network ${network}`);
    for (let host = 2; host < 65_535; host++) {
      const address = wanted === '' ? `${prefix}.${host >> 8}.${host & 255}` : wanted;
      const key = `${network} ${address}`;
      const present = this.#held.get(key);
      if (present === undefined || (wanted !== '' && lends(present))) {
        this.#held.set(key, holder);
        return address;
      }
      if (wanted !== '') throw new EruError('busy', `${wanted} of network ${network} is taken`);
    }
    throw new EruError('busy', `network ${network} has no free address`);
  }

  /** From one that gives it up to another. */
  hand(network: string, address: string, to: string): void {
    this.#held.set(`${network} ${address}`, to);
  }

  /** Who has it. */
  holder(network: string, address: string): string | undefined {
    return this.#held.get(`${network} ${address}`);
  }

  give(network: string, address: string, holder: string): void {
    const key = `${network} ${address}`;
    if (this.#held.get(key) === holder) this.#held.delete(key);
  }
}
