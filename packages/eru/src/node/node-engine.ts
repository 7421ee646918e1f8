import { createCompositeEngine, createEngines, type Engine } from '@eru/engines';
import { EruError, invalid, readIfExists, systemClock, systemRandom, writeFileAtomic, type Logger } from '@eru/kit';
import { DockerClient } from '@eru/network';
import { createProcessEngine, withNetworks, type NetworkDaemon } from '@eru/runtime';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

export interface NodeEngineOptions {
  folder: string;
  /** Refuses limits that this machine cannot enforce. */
  strict: boolean;
  /** Absent: this machine runs processes alone. */
  docker: { engine: Engine; socket: string } | undefined;
  networks: NetworkDaemon | undefined;
  /** `runc` or `crun`; absent: what ERU_OCI_RUNTIME says, else runc. */
  ociRuntime?: string | undefined;
  logger: Logger;
}

const dockerSocket = 'unix:///var/run/docker.sock';
/** How long a Docker socket may take to answer when it is looked for. */
const answerMs = 3000;

/** The engines of this machine as one: processes, and containers where there is a dockerd. */
export async function openNodeEngine(options: NodeEngineOptions): Promise<Engine> {
  const { folder, strict, docker, networks, logger } = options;
  const clocks = { clock: systemClock, random: systemRandom };
  const runtime = runtimeOf(options.ociRuntime ?? process.env['ERU_OCI_RUNTIME'] ?? 'runc');
  const processes = await createProcessEngine({
    folder,
    ...clocks,
    logger,
    unenforced: strict ? 'refuse' : 'allow',
    runtime,
    ...(networks !== undefined && { networks }),
  });
  if (docker === undefined) return processes;
  const containers =
    networks === undefined
      ? docker.engine
      : withNetworks(docker.engine, networks.service, new DockerClient(docker.socket));
  const parts = [
    { name: 'process', engine: processes },
    { name: 'docker', engine: containers },
  ] as const;
  return createCompositeEngine({ parts: [parts[0], parts[1]], ...clocks });
}

function runtimeOf(name: string): 'runc' | 'crun' {
  if (name === 'runc' || name === 'crun') return name;
  throw invalid('--oci-runtime', name, 'write runc or crun');
}

/**
 * A dockerd that was served once is served from then on, also while it does not answer: its workloads would count as gone
 * otherwise. `--docker none` ends that.
 */
export async function findDocker({
  folder,
  docker,
  logger,
}: {
  folder: string;
  /** `auto`: as last time, at first docker's own socket when it answers; `none`; or the `unix://` socket of a dockerd. */
  docker: string;
  logger: Logger;
}): Promise<{ engine: Engine; socket: string } | undefined> {
  const note = path.join(folder, 'docker');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  if (docker === 'none') {
    await writeFileAtomic(note, '');
    return undefined;
  }
  if (docker !== 'auto' && !docker.startsWith('unix:///'))
    throw invalid('--docker', docker, 'write auto, none, or unix:///SOCKET; a dockerd elsewhere is a node of its own');
  const served = (await readIfExists(note)) ?? '';
  const endpoint = docker === 'auto' ? served || dockerSocket : docker;
  try {
    const engine = createEngines({ clock: systemClock, random: systemRandom }).get(endpoint);
    await engine.ping({ timeoutMs: answerMs }).catch(async (error: unknown) => {
      if (endpoint === served) return;
      await engine.close();
      throw error;
    });
    if (endpoint !== served) await writeFileAtomic(note, endpoint);
    return { engine, socket: endpoint.slice('unix://'.length) };
  } catch (cause) {
    if (docker === 'auto' && served === '') {
      logger.info({ err: cause, endpoint }, 'no docker here; this node runs processes');
      return undefined;
    }
    const { code, message } = EruError.from(cause);
    throw new EruError(code, `--docker ${endpoint}: ${message}`, { cause });
  }
}
