import type { Clock, Logger } from '@eru/kit';
import { EruError, isJsonObject } from '@eru/kit';
import { z } from 'zod';

import type { Netd } from '../netd/netd.ts';
import type { WorkloadSource } from '../netd/reconciler.ts';
import type { DockerClient } from './docker-client.ts';

const listSchema = z.array(z.looseObject({ Id: z.string(), State: z.string() }));

/** A namespace is there before its engine says that the container runs. */
const defaultStartGraceMs = 30_000;
const reconnectMs = 1000;
/** Between what an event says and a look at what is: an engine tells of an end before it has cleared away. */
const settleMs = 1000;

const imported = 'docker.';

/** Whose an address is that Docker itself has given to a container. It goes with that container. */
export function importedOwner(container: string): string {
  return imported + container;
}

export interface DockerSourceOptions {
  netd: Netd;
  docker: DockerClient;
  clock: Clock;
  logger: Logger;
  /** How long a namespace without a running container is taken for one that is being started; default 30 s. */
  startGraceMs?: number;
}

/** Which containers a dockerd has. */
export function dockerSource(options: DockerSourceOptions): WorkloadSource {
  const { netd, docker, startGraceMs = defaultStartGraceMs } = options;
  return {
    kind: 'container',
    engine: 'docker',
    startGraceMs,
    // What is declared says whose an address is; other engines' containers are not in this list.
    owns: (owner) => owner.startsWith(imported),
    list: async (signal) => {
      const containers = listSchema.parse(await docker.get('/containers/json?all=1', signal));
      const declared = new Map((await netd.intents()).map((intent) => [intent.container, intent]));
      return containers.map(({ Id: id, State: state }) => ({
        id,
        owner: declared.get(id)?.owner ?? importedOwner(id),
        running: state === 'running' || state === 'paused' || declared.get(id)?.keepNetns === true,
      }));
    },
  };
}

/**
 * Follows what dockerd tells, until aborted: a removed container gives back its addresses at once, and after an end the
 * reconciler looks twice, in case nobody heard of it. What is missed here it finds in its own time.
 */
export async function followDocker(options: DockerSourceOptions, signal: AbortSignal): Promise<void> {
  const { netd, docker, clock, logger } = options;
  let looking: Promise<void> | undefined;
  const look = (): void => {
    looking ??= (async () => {
      for (let round = 0; round < 2; round++) {
        await clock.sleep(settleMs, signal);
        await netd.reconcile({}, signal);
      }
    })()
      .catch((error: unknown) => {
        if (!signal.aborted) logger.warn({ err: error }, 'a round of the reconciler failed');
      })
      .finally(() => {
        looking = undefined;
      });
  };
  while (!signal.aborted) {
    try {
      const events = docker.events({ type: ['container'], event: ['destroy', 'die'] }, signal);
      look(); // At what happened while nobody listened.
      for await (const event of events) {
        const { id, Action: action } = isJsonObject(event) ? event : {};
        if (action !== 'destroy' || typeof id !== 'string') {
          look();
          continue;
        }
        const declared = await netd.forget({ container: id }, signal);
        const given = await netd.release({ owner: importedOwner(id) }, signal);
        for (const { owner, ifname } of [...declared, ...given])
          logger.info({ owner, ifname }, 'its container is removed: released');
      }
    } catch (error) {
      if (!signal.aborted) logger.debug({ err: EruError.from(error) }, 'dockerd tells no events; asked again');
    }
    await clock.sleep(reconnectMs, signal).catch(() => {});
  }
  await looking;
}
