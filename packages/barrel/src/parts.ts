import type { DockerHttp } from '@eru/engines';
import type { Logger } from '@eru/kit';
import type { IntentStatus, NetworkService } from '@eru/network';

import type { CreateRules } from './create-request.ts';
import type { ExposedPorts } from './exposed-ports.ts';
import type { KnownNetworks } from './known-networks.ts';

/** What the interceptions work with. */
export interface Parts {
  readonly netd: NetworkService;
  readonly networks: KnownNetworks;
  /** For questions of our own. */
  readonly docker: DockerHttp;
  readonly exposed: ExposedPorts;
  readonly rules: CreateRules;
  readonly logger: Logger;
}

/** How long the network daemon may take for what a client waits for; its reconciler does what was not done. */
export const netdMs = 5000;

/** Attaching runs plugins. */
export const attachMs = 60_000;

/** What is declared of all containers, or of one; nothing while the network daemon is silent: what it would add is then not shown. */
export async function intentsOf({ netd, logger }: Parts, container?: string): Promise<IntentStatus[]> {
  try {
    const asked = container === undefined ? {} : { container };
    const all = await netd.intents(asked, AbortSignal.timeout(netdMs));
    return all.filter(({ expiresAt }) => expiresAt === undefined);
  } catch (error) {
    logger.warn({ err: error }, 'the network daemon is silent; containers are shown without their networks');
    return [];
  }
}

/** A container's id and state, by whatever name. @throws EruError `not_found` as dockerd says it */
export async function lookUp({ docker }: Parts, name: string): Promise<{ id: string; mode: string }> {
  const found = await docker.json<{ Id: string; HostConfig?: { NetworkMode?: string } }>({
    method: 'GET',
    path: `/containers/${encodeURIComponent(name)}/json`,
    signal: AbortSignal.timeout(attachMs),
  });
  return { id: found.Id, mode: found.HostConfig?.NetworkMode ?? '' };
}
