import type { DockerHttp } from '@eru/engines';
import { isJsonObject, limitConcurrency, type Logger } from '@eru/kit';

import { netdMs } from './parts.ts';

/** So many containers are asked for at once. */
const asked = 16;

/**
 * What containers expose, `80/tcp`, by their image and their own words. dockerd lists no ports of one that is on no network of its; it
 * tells them of each alone, and they never change: so each container is asked for once.
 */
export class ExposedPorts {
  readonly #docker: DockerHttp;
  readonly #logger: Logger;
  #known: ReadonlyMap<string, readonly string[]> = new Map();

  constructor(docker: DockerHttp, logger: Logger) {
    this.#docker = docker;
    this.#logger = logger;
  }

  /** Of these; what is known of others is forgotten. One that dockerd does not tell of has none, this time. */
  async of(ids: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    const limit = limitConcurrency(asked);
    const found = await Promise.all(
      ids.map((id) => limit(async () => [id, this.#known.get(id) ?? (await this.#ask(id))] as const)),
    );
    this.#known = new Map(found.filter((one): one is [string, readonly string[]] => one[1] !== undefined));
    return this.#known;
  }

  async #ask(id: string): Promise<readonly string[] | undefined> {
    try {
      const found = await this.#docker.json<{ Config?: { ExposedPorts?: unknown } }>({
        method: 'GET',
        path: `/containers/${id}/json`,
        signal: AbortSignal.timeout(netdMs),
      });
      const exposed = found.Config?.ExposedPorts;
      return isJsonObject(exposed) ? Object.keys(exposed) : [];
    } catch (error) {
      this.#logger.debug({ err: error, id }, 'what it exposes is not known now');
      return undefined;
    }
  }
}
