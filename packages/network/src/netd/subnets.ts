import type { NetworkService } from './service.ts';

/** One subnet of a network, as people write it. */
export interface Subnet {
  cidr: string;
  gateway?: string | undefined;
  ranges?: string[] | undefined;
  exclude?: string[] | undefined;
}

/** A network with a pool for each of its subnets, named after network and family; what is there is changed. Refused, it leaves none. */
export async function putNetworkOn(
  service: NetworkService,
  network: Readonly<Record<string, unknown>> & { name: string },
  subnets: readonly Subnet[],
  pool: { scope?: string; quarantineMs?: number } = {},
  signal?: AbortSignal,
): Promise<void> {
  const before = new Set((await service.pools({}, signal)).map(({ definition }) => definition.name));
  const pools: string[] = [];
  try {
    for (const { cidr, gateway, ranges, exclude } of subnets) {
      const name = cidr.includes(':') ? `${network.name}-v6` : network.name;
      const given = {
        ...(gateway !== undefined && { gateway }),
        ...(ranges !== undefined && { ranges }),
        ...(exclude !== undefined && { exclude }),
      };
      await service.putPool({ name, cidr, ...given, ...pool }, signal);
      pools.push(name);
    }
    await service.putNetwork({ ...network, pools }, signal);
  } catch (error) {
    for (const name of pools.filter((one) => !before.has(one))) await service.removePool({ name }).catch(() => {});
    throw error;
  }
}

/** A network and the pools that only it has. @throws EruError `precondition` while an address of it is held */
export async function removeNetworkAndPools(
  service: NetworkService,
  name: string,
  signal?: AbortSignal,
): Promise<void> {
  const networks = await service.networks({}, signal);
  const found = networks.find(({ definition }) => definition.name === name);
  await service.removeNetwork({ name }, signal);
  const others = new Set(networks.filter((one) => one !== found).flatMap(({ definition }) => definition.pools));
  for (const pool of found?.definition.pools ?? [])
    if (!others.has(pool)) await service.removePool({ name: pool }, signal);
}
