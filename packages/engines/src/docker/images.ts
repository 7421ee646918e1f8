import { EruError, invalid, isJsonObject } from '@eru/kit';
import type { Json, JsonObject } from '@eru/kit';

import type { EngineImage, Registries } from '../engine.ts';
import { registryOf } from '../registry.ts';
import { Ring } from '../ring.ts';
import type { DockerHttp } from './http-client.ts';
import { shortName } from './podman.ts';
import { refusalOf } from './refusal.ts';

/** Lines of progress that a pull keeps for whoever joins it late. */
const keptLines = 1000;

interface Pull {
  lines: Ring<JsonObject>;
  done: Promise<void>;
  /** How many wait for it; nobody left ends it. */
  waiting: number;
  stop: AbortController;
}

/** The images of one daemon. */
export class DockerImages {
  readonly #http: DockerHttp;
  /** By account and reference. */
  readonly #pulls = new Map<string, Pull>();

  constructor(http: DockerHttp) {
    this.#http = http;
  }

  /** Images of this repository (its tag is cut off), all when empty. */
  async list(filter: string, signal: AbortSignal): Promise<EngineImage[]> {
    const repository = parseReference(filter).repository;
    const filters = repository === '' ? {} : { reference: [repository] };
    const images = await this.#http.json<{ Id: string; RepoTags: string[] | null }[]>({
      method: 'GET',
      path: '/images/json',
      query: { filters: JSON.stringify(filters) },
      signal,
    });
    return images.map(({ Id, RepoTags }) => ({
      id: Id,
      tags: (RepoTags ?? []).filter((tag) => tag !== '<none>:<none>').map(shortName),
    }));
  }

  /** Deploys that want the same image at once share one pull and its progress. */
  async *pull(reference: string, registries: Registries, signal: AbortSignal): AsyncGenerator<JsonObject> {
    if (reference === '') throw invalid('image', '', 'an image needs a name');
    // Not with that of another account: it may be shown less.
    const account = accountHeader(parseReference(reference).repository, registries);
    const key = `${account} ${reference}`;
    const pull = this.#pulls.get(key) ?? this.#begin(key, reference, account);
    pull.waiting += 1;
    try {
      for (let at = 0; ;) {
        const lines = pull.lines.since(at);
        at = pull.lines.next;
        yield* lines;
        if (pull.lines.ended && at === pull.lines.next) break;
        await pull.lines.grown(at, signal);
      }
      await pull.done;
    } finally {
      pull.waiting -= 1;
      if (pull.waiting === 0) pull.stop.abort();
    }
  }

  push(reference: string, registries: Registries, signal: AbortSignal): AsyncGenerator<JsonObject> {
    const { repository, tag } = parseReference(reference);
    const path = `/images/${repository}/push`;
    return this.#progress('POST', path, { tag }, { 'x-registry-auth': accountHeader(repository, registries) }, signal);
  }

  async remove(reference: string, force: boolean, prune: boolean, signal: AbortSignal): Promise<string[]> {
    const items = await this.#http.json<{ Untagged?: string; Deleted?: string }[]>({
      method: 'DELETE',
      path: `/images/${reference}`,
      query: { force, noprune: !prune },
      signal,
    });
    return items.flatMap(({ Untagged, Deleted }) => (Untagged === undefined ? (Deleted ?? []) : shortName(Untagged)));
  }

  /** All that no container has. Podman, asked in docker's way, takes only those without a name: it is asked in its own. */
  async prune(signal: AbortSignal): Promise<void> {
    const call = {
      docker: { path: '/images/prune', query: { filters: JSON.stringify({ dangling: ['false'] }) } },
      podman: { path: '/libpod/images/prune', query: { all: true } },
    }[await this.#http.daemon()];
    await this.#http.json({ method: 'POST', ...call, signal });
  }

  #begin(key: string, reference: string, account: string): Pull {
    const stop = new AbortController();
    const lines = new Ring<JsonObject>(keptLines);
    const { repository, tag } = parseReference(reference);
    const work = async (): Promise<void> => {
      try {
        const query = { fromImage: repository, tag };
        const headers = { 'x-registry-auth': account };
        for await (const line of this.#progress('POST', '/images/create', query, headers, stop.signal))
          lines.push(line);
      } catch (error) {
        // It may have been built here, or its registry be away: what the node has is better than nothing.
        const { code, message } = EruError.from(error);
        if (stop.signal.aborted) throw error;
        if (!(await this.#has(repository, tag, stop.signal)))
          throw new EruError(code, `image ${reference} cannot be fetched: ${message}`, { cause: error });
        lines.push({ status: `the node's own ${reference} is used: ${message}` });
      } finally {
        this.#pulls.delete(key);
        lines.end();
      }
    };
    const pull: Pull = { lines, done: work(), waiting: 0, stop };
    pull.done.catch(() => {}); // Those who wait for it are told.
    this.#pulls.set(key, pull);
    return pull;
  }

  async #has(repository: string, tag: string, signal: AbortSignal): Promise<boolean> {
    const images = await this.list(repository, signal);
    return images.some(({ tags }) => tags.includes(`${repository}:${tag}`));
  }

  /** Docker's progress lines; the one that tells of a failure is thrown. */
  async *#progress(
    method: 'POST',
    path: string,
    query: Readonly<Record<string, string>>,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
    body?: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<JsonObject> {
    const response = await this.#http.stream({ method, path, query, headers, signal, ...(body && { body }) });
    for await (const text of this.#http.lines(response)) {
      const line = JSON.parse(text) as JsonObject;
      const failure = failureOf(line);
      if (failure !== undefined) throw failure;
      yield line;
    }
  }
}

/** The account at the registry that the name belongs to, as docker's header wants it. */
function accountHeader(repository: string, registries: Registries): string {
  return encode(registries[registryOf(repository)] ?? {});
}

/** `host:5000/team/app:1` -> `host:5000/team/app` and `1`; a digest stands for the tag. */
export function parseReference(reference: string): { repository: string; tag: string } {
  const digest = reference.indexOf('@');
  if (digest !== -1) return { repository: reference.slice(0, digest), tag: reference.slice(digest + 1) };
  const colon = reference.indexOf(':', reference.lastIndexOf('/') + 1);
  if (colon === -1) return { repository: reference, tag: 'latest' };
  return { repository: reference.slice(0, colon), tag: reference.slice(colon + 1) };
}

/** Docker's header with the accounts of several registries, which knows its own by an old address. */
export function accountsHeader(registries: Registries): string {
  const { 'docker.io': hub, ...others } = registries;
  return encode({ ...others, ...(hub !== undefined && { 'https://index.docker.io/v1/': hub }) });
}

function encode(json: JsonObject | object): string {
  // With its padding, which Node's `base64url` leaves out and docker insists on.
  return Buffer.from(JSON.stringify(json)).toString('base64').replaceAll('+', '-').replaceAll('/', '_');
}

/** What a line of progress says to have failed. */
export function failureOf({ error, errorDetail }: JsonObject): EruError | undefined {
  if (typeof error !== 'string' || error === '') return undefined;
  const code: Json | undefined = isJsonObject(errorDetail ?? null) ? (errorDetail as JsonObject)['code'] : undefined;
  return refusalOf(typeof code === 'number' && code >= 400 ? code : 500, error);
}

/** The word for an image that the node does not have. */
export function withoutImage(error: EruError, image: string): EruError {
  if (error.code !== 'not_found' || !/no such image/i.test(error.message)) return error;
  return new EruError('not_found', `image: this node has no ${image}; pull it, or deploy without ignore_pull`, {
    cause: error,
  });
}
