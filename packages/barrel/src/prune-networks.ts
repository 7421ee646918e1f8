import { systemClock } from '@eru/kit';
import { removeNetworkAndPools } from '@eru/network';

import { readNotes } from './docker-notes.ts';
import { parseExact } from './exact-json.ts';
import { passOn, type Reply } from './http/answer.ts';
import type { Exchange } from './http/connection.ts';
import { netdMs, type Parts } from './parts.ts';
import { queryOf } from './routes.ts';
import { matchesPrune, parseFilters, showNetwork } from './show-network.ts';

/**
 * `POST /networks/prune`: Docker's, and those of ours that were made through Docker's API and that nobody uses. dockerd asks which have an
 * interface now; a stopped container that is to come back to its address uses its network too.
 */
export async function pruneNetworks(parts: Parts, { head, forward }: Exchange): Promise<Reply> {
  const answer = await forward();
  const filters = parseFilters(queryOf(head.target).get('filters'));
  if (answer.head.status !== 200 || filters === undefined) return passOn(answer);
  const { value, write } = parseExact(answer.body, "dockerd's answer");
  if (Array.isArray(value)) return passOn(answer);
  const ours = await pruneOurs(parts, filters).catch((error: unknown) => {
    parts.logger.warn({ err: error }, 'the network daemon is silent; networks of ours stay');
    return [];
  });
  if (ours.length === 0) return passOn(answer);
  const theirs = Array.isArray(value['NetworksDeleted']) ? value['NetworksDeleted'] : [];
  return passOn(answer, write({ ...value, NetworksDeleted: [...theirs, ...ours] }));
}

async function pruneOurs(parts: Parts, filters: ReadonlyMap<string, readonly string[]>): Promise<string[]> {
  const { netd, networks, logger } = parts;
  const made = (await networks.list()).filter(({ definition }) => readNotes(definition.labels ?? {}) !== undefined);
  if (made.length === 0) return [];
  const [used, pools, { node }] = await Promise.all([
    usedNetworks(parts),
    netd.pools({}, AbortSignal.timeout(netdMs)),
    netd.about({}, AbortSignal.timeout(netdMs)),
  ]);
  // Nobody here knows what containers elsewhere are to have; a machine that takes addresses has a block.
  const elsewhere = (names: readonly string[]): boolean =>
    pools.some(({ definition, blocks }) => names.includes(definition.name) && blocks.some((one) => one.node !== node));
  const removed: string[] = [];
  for (const network of made) {
    const { name, pools: names } = network.definition;
    const meant = matchesPrune(showNetwork(network, pools, []), filters, systemClock.now());
    if (!meant || used.has(name) || elsewhere(names)) continue;
    try {
      await removeNetworkAndPools(netd, name, AbortSignal.timeout(netdMs));
      removed.push(name);
    } catch (error) {
      logger.info({ err: error, network: name }, 'somebody uses it by now; it stays');
    }
  }
  return removed;
}

/** On which a container is to be whenever it runs, or somebody holds an address. */
export async function usedNetworks({ netd }: Parts): Promise<ReadonlySet<string>> {
  const [intents, reservations] = await Promise.all([
    netd.intents({}, AbortSignal.timeout(netdMs)),
    netd.reservations({}, AbortSignal.timeout(netdMs)),
  ]);
  return new Set([
    ...intents.flatMap(({ networks }) => networks.map(({ network }) => network)),
    ...reservations.map(({ network }) => network),
  ]);
}
