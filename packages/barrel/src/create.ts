import { randomUUID } from 'node:crypto';

import { EruError, isEruError, isJsonObject, retry, type JsonObject } from '@eru/kit';
import { requestLabel } from '@eru/network';

import { declaredBy, mayBeOurs, namedNetworks, withoutNetwork, type Declared } from './create-request.ts';
import { parseExact } from './exact-json.ts';
import { passOn, type Answer, type Reply } from './http/answer.ts';
import type { Exchange } from './http/connection.ts';
import { attachMs, netdMs, type Parts } from './parts.ts';

/** What was reserved for a container that dockerd has not confirmed in this time is free again. */
const leaseMs = 60_000;

/**
 * `POST /containers/create`: addresses are reserved under a temporary name before dockerd is asked, and are the container's own before
 * its client knows it. Whatever happens in between, the name's time ends.
 */
export async function createContainer(parts: Parts, { body, forward }: Exchange): Promise<Reply> {
  const request = readBody(body);
  if (request === undefined) return passOn(await forward());
  const { value, write } = request;
  const named = namedNetworks(value, parts.rules);
  if (!mayBeOurs(named)) return passOn(await forward());
  const networks = await parts.networks.listOrLast();
  const declared = declaredBy(value, named, networks, parts.rules, await imagePorts(parts, value));
  if (declared === undefined) return passOn(await forward());

  const temporary = `req-${randomUUID()}`;
  await parts.netd.declare({ container: temporary, expiresInMs: leaseMs, ...asRequest(declared) }, soon());
  let answer: Answer;
  try {
    answer = await forward({ body: write(withoutNetwork(value, parts.rules, { [requestLabel]: temporary })) });
  } catch (error) {
    await forget(parts, temporary);
    throw error;
  }
  const id = answer.head.status === 201 ? idOf(answer) : undefined;
  if (id === undefined) {
    await forget(parts, temporary);
    return passOn(answer);
  }
  try {
    await settle(parts, temporary, id, declared);
  } catch (error) {
    parts.logger.error({ err: error, id }, 'a container could not be given its addresses; it is removed again');
    await parts.docker
      .stream({ method: 'DELETE', path: `/containers/${id}`, query: { v: true }, signal: soon() })
      .then((response) => response.resume())
      .catch((cause: unknown) => parts.logger.error({ err: cause, id }, 'it could not be removed'));
    await forget(parts, temporary);
    throw error;
  }
  return passOn(answer);
}

/** The container is told to netd under its id. A lease that has ended meanwhile is taken anew, if nobody else was faster. */
async function settle({ netd }: Parts, temporary: string, container: string, declared: Declared): Promise<void> {
  await retry(
    async () => {
      try {
        await netd.adopt({ from: temporary, container }, soon());
      } catch (error) {
        if (!isEruError(error, 'not_found')) throw error;
        await netd.declare({ container, ...asRequest(declared) }, soon());
      }
    },
    { attempts: 20, baseMs: 50, maxMs: 500, retryable: (error) => isEruError(error, 'unavailable') },
  );
}

async function forget({ netd, logger }: Parts, container: string): Promise<void> {
  await netd.forget({ container }, soon()).catch((error: unknown) => {
    logger.warn({ err: error, container }, 'what was reserved could not be given back; its time ends by itself');
  });
}

/** Undefined for what dockerd refuses anyway. */
function readBody(body: Buffer): { value: JsonObject; write: (value: unknown) => Buffer } | undefined {
  try {
    const { value, write } = parseExact(body, 'the request');
    return Array.isArray(value) ? undefined : { value, write };
  } catch {
    return undefined;
  }
}

function idOf({ body }: Answer): string | undefined {
  const value: unknown = JSON.parse(body.toString('utf8'));
  const id = isJsonObject(value) ? value['Id'] : undefined;
  if (typeof id === 'string' && /^[0-9a-f]{64}$/.test(id)) return id;
  throw new EruError('failed', 'dockerd has created a container and does not say which');
}

/** Ports that the image exposes: needed only where all are to be published. They are no claim on an address. */
async function imagePorts({ docker }: Parts, body: JsonObject): Promise<string[]> {
  const { HostConfig: host, Image: image } = body;
  if (!isJsonObject(host) || host['PublishAllPorts'] !== true || typeof image !== 'string') return [];
  try {
    const found = await docker.json<{ Config?: { ExposedPorts?: object | null } | null }>({
      method: 'GET',
      path: `/images/${encodeURIComponent(image)}/json`,
      signal: soon(),
    });
    return Object.keys(found.Config?.ExposedPorts ?? {});
  } catch (error) {
    // dockerd says itself that the image is not there.
    if (isEruError(error, 'not_found')) return [];
    throw error;
  }
}

function asRequest({ networks, ...rest }: Declared): Omit<Declared, 'networks'> & {
  networks: Declared['networks'][number][];
} {
  return { ...rest, networks: [...networks] };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(Math.max(netdMs, attachMs / 4));
}
