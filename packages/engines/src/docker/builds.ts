import { invalid, isEruError } from '@eru/kit';
import type { JsonObject } from '@eru/kit';

import type { ImageBuild, Registries } from '../engine.ts';
import { BuildkitTrace, withExitCode } from './buildkit-trace.ts';
import type { DockerHttp } from './http-client.ts';
import { accountsHeader, failureOf, parseReference } from './images.ts';

/** How images are made on one daemon. */
export class DockerBuilds {
  readonly #http: DockerHttp;

  constructor(http: DockerHttp) {
    this.#http = http;
  }

  /** The daemon's own lines; a failure is the last of them. @throws EruError `unavailable`, also for a daemon without containerd */
  async *build(
    { references, platform }: ImageBuild,
    context: AsyncIterable<Uint8Array>,
    registries: Registries,
    signal: AbortSignal,
  ): AsyncGenerator<JsonObject> {
    if (references.length === 0) throw invalid('references', '', 'an image needs a name');
    const buildkit = await this.#prefersBuildkit(signal);
    const query = {
      t: references,
      nocache: true,
      rm: true,
      forcerm: true,
      ...(platform !== '' && { platform }),
      ...(buildkit && { version: 2 }),
    };
    const headers = { 'content-type': 'application/x-tar', 'x-registry-config': accountsHeader(registries) };
    const response = await this.#http.stream({ method: 'POST', path: '/build', query, headers, signal, body: context });
    const trace = new BuildkitTrace();
    for await (const text of this.#http.lines(response)) {
      const line = JSON.parse(text) as JsonObject;
      const failure = failureOf(line);
      if (isEruError(failure, 'unavailable')) throw failure;
      const { id, aux } = line;
      if (id === 'moby.buildkit.trace' && typeof aux === 'string') yield* trace.read(aux);
      else yield buildkit ? withExitCode(line) : line;
    }
  }

  /** The daemon says which builder it would rather use; both are fed the same. Without a session BuildKit has no accounts: bases are pulled before. */
  async #prefersBuildkit(signal: AbortSignal): Promise<boolean> {
    const response = await this.#http.stream({ method: 'GET', path: '/_ping', signal });
    response.resume();
    return response.headers['builder-version'] === '2';
  }

  /** What builds have left. Podman keeps it as images without a name. */
  async prune(signal: AbortSignal): Promise<void> {
    const call = {
      docker: { path: '/build/prune', query: { all: true } },
      podman: { path: '/libpod/images/prune' },
    }[await this.#http.daemon()];
    await this.#http.json({ method: 'POST', ...call, signal });
  }

  /** The first name by the commit, the others as tags of it (reference/core-behaviour.md section 5.3). */
  async commit(container: string, references: readonly string[], signal: AbortSignal): Promise<string> {
    const [first, ...others] = references.map(parseReference);
    if (first === undefined) throw invalid('references', '', 'an image needs a name');
    const { Id } = await this.#http.json<{ Id: string }>({
      method: 'POST',
      path: '/commit',
      query: { container, repo: first.repository, tag: first.tag, author: 'eru-core' },
      // Podman wants one.
      json: {},
      signal,
    });
    for (const { repository, tag } of others) {
      const response = await this.#http.stream({
        method: 'POST',
        path: `/images/${Id}/tag`,
        query: { repo: repository, tag },
        signal,
      });
      response.resume();
    }
    return Id.startsWith('sha256:') ? Id : `sha256:${Id}`; // Podman leaves it out.
  }
}
