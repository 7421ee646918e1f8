import type { DockerHttp } from './http-client.ts';
import { inDockersWords } from './podman.ts';
import type { Container } from './wire-types.ts';

/** What the daemon says of a container; `id` may be its name. @throws EruError `not_found` */
export async function inspectContainer(http: DockerHttp, id: string, signal: AbortSignal): Promise<Container> {
  const container = await http.json<Container>({ method: 'GET', path: `/containers/${id}/json`, signal });
  return (await http.daemon()) === 'podman' ? inDockersWords(container) : container;
}
