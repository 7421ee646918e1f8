import type { Logger } from '@eru/kit';
import { runOk } from '@eru/kit';

import type { Allocator } from '../ipam/allocator.ts';
import { blockAt, type Pool } from '../ipam/pool.ts';
import { formatAddress } from '../ipam/address.ts';
import { keys } from '../ipam/records.ts';

/** What a node says of itself to the others. */
export interface NodeRecord {
  /** Where it is reached, one of each family that it has. */
  readonly addresses: readonly string[];
}

/** Of routes that are ours; `ip route show proto 178` lists them. */
const protocol = '178';

/**
 * Routes of this host to what is on other nodes: one for each of their blocks, and one for each address that a node has
 * from somebody else's block (borrowed, or moved with its workload). Answers how many changed.
 */
export async function syncRoutes(allocator: Allocator, pools: readonly Pool[], logger: Logger): Promise<number> {
  const wanted = wantedRoutes(allocator, pools);
  let changed = 0;
  for (const family of ['-4', '-6'] as const) {
    const { stdout } = await runOk('ip', [family, '-json', 'route', 'show', 'proto', protocol]);
    const there = new Map(
      (JSON.parse(stdout || '[]') as { dst: string; gateway: string }[]).map(({ dst, gateway }) => [dst, gateway]),
    );
    const own = [...wanted].filter(([dst]) => dst.includes(':') === (family === '-6'));
    for (const [dst, via] of own) {
      if (there.get(dst) === via) continue;
      await runOk('ip', [family, 'route', 'replace', dst, 'via', via, 'proto', protocol]).then(
        () => (changed += 1),
        (error: unknown) => logger.warn({ err: error, dst, via }, 'a route to another node could not be set'),
      );
    }
    for (const dst of there.keys()) {
      if (own.some(([one]) => one === dst)) continue;
      await runOk('ip', [family, 'route', 'delete', dst, 'proto', protocol]);
      changed += 1;
    }
  }
  return changed;
}

/** Destination, as `ip` shows it (no length for one address), and the address of the node that has it. */
function wantedRoutes({ view, node }: Allocator, pools: readonly Pool[]): Map<string, string> {
  const routes = new Map<string, string>();
  const via = (other: string, family: 4 | 6): string | undefined =>
    view.get<NodeRecord>(keys.node(other))?.addresses.find((address) => address.includes(':') === (family === 6));
  for (const pool of pools) {
    const { name } = pool.definition;
    const { family } = pool.cidr;
    const blocks = view.blocks(name);
    for (const { record } of blocks.values()) {
      const gateway = record.node === node ? undefined : via(record.node, family);
      if (gateway !== undefined) routes.set(record.cidr.replace(family === 4 ? /\/32$/ : /\/128$/, ''), gateway);
    }
    for (const [value, { record }] of view.taken(name)) {
      if (record.state !== 'held') continue;
      const held = view.reservation(record.owner, record.ifname);
      const home = blocks.get(blockAt(pool, value).first)?.record.node;
      if (held === undefined || held.state !== 'bound' || held.node === node || held.node === home) continue;
      const gateway = via(held.node, family);
      if (gateway !== undefined) routes.set(formatAddress({ family, value }), gateway);
    }
  }
  return routes;
}
