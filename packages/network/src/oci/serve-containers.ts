import type { Logger } from '@eru/kit';
import { systemClock } from '@eru/kit';

import { serveMailbox } from '../netd/mailbox.ts';
import type { Netd } from '../netd/netd.ts';
import { Containers } from './containers.ts';
import { DockerClient } from './docker-client.ts';
import { dockerSource, followDocker } from './docker-source.ts';
import { runtimeFolder } from './runtime-script.ts';

export interface ServeContainersOptions {
  netd: Netd;
  /** The daemon's: calls are taken beside it. */
  socket: string;
  /** Of the dockerd whose containers are ours to look after. Absent: those of other engines only. */
  docker?: string;
  logger: Logger;
  /** See `DockerSourceOptions`. */
  startGraceMs?: number;
}

/** Gives containers behind the runtime script their networks, and follows what becomes of those of a dockerd. */
export async function serveContainers(options: ServeContainersOptions): Promise<{ close(): Promise<void> }> {
  const { netd, socket, logger, startGraceMs } = options;
  const docker = options.docker === undefined ? undefined : new DockerClient(options.docker);
  const containers = new Containers({ netd, docker, logger });
  const stop = new AbortController();
  let following: Promise<void> | undefined;
  if (docker !== undefined) {
    const source = { netd, docker, logger, clock: systemClock, ...(startGraceMs !== undefined && { startGraceMs }) };
    netd.addSource(dockerSource(source));
    following = followDocker(source, stop.signal);
  }
  const mailbox = await serveMailbox(runtimeFolder(socket), (text) => containers.answer(text), logger);
  return {
    close: async () => {
      stop.abort();
      await following;
      await mailbox.close();
    },
  };
}
