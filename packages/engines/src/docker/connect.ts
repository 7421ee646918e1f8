import type { Clock, Random } from '@eru/kit';

import type { DockerSettings } from './create-body.ts';
import { dockerAddress, type DockerCertificates } from './endpoint.ts';
import { DockerEngine } from './engine.ts';

/**
 * The docker daemon at an endpoint (`unix:///var/run/docker.sock`, see `dockerAddress`) as an engine. Nothing is connected before the
 * first call. @throws EruError `invalid`
 */
export function connectDocker(
  endpoint: string,
  options: {
    clock?: Clock;
    random?: Random;
    certificates?: DockerCertificates | undefined;
    settings?: Partial<DockerSettings> | undefined;
  } = {},
): DockerEngine {
  const { certificates, settings, ...rest } = options;
  return new DockerEngine({ ...rest, settings, address: dockerAddress(endpoint, certificates) });
}
