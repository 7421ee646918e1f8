import { EruError, isEruError, isJsonObject, systemClock, type JsonObject } from '@eru/kit';
import { putNetworkOn, removeNetworkAndPools, type NetworkStatus } from '@eru/network';

import { aliasesOf, endpointWish } from './create-request.ts';
import { canonicalFields, objectAt, parseExact, textAt } from './exact-json.ts';
import { jsonReply, passOn, type Reply } from './http/answer.ts';
import type { Exchange } from './http/connection.ts';
import { isBuiltIn, networkId, pick } from './known-networks.ts';
import { attachMs, intentsOf, lookUp, netdMs, type Parts } from './parts.ts';
import { usedNetworks } from './prune-networks.ts';
import { queryOf } from './routes.ts';
import { createdNetwork, isOurDriver, matchesFilters, parseFilters, showNetwork } from './show-network.ts';

/** `GET /networks`: Docker's and ours. */
export async function listNetworks(parts: Parts, { head, forward }: Exchange): Promise<Reply> {
  const answer = await forward();
  const filters = parseFilters(queryOf(head.target).get('filters'));
  if (answer.head.status !== 200 || filters === undefined) return passOn(answer);
  const ours = await parts.networks.listOrLast();
  if (ours.length === 0) return passOn(answer);
  const { value, write } = parseExact(answer.body, "dockerd's answer");
  if (!Array.isArray(value)) return passOn(answer);
  const [pools, intents] = await Promise.all([parts.netd.pools({}, soon()), intentsOf(parts)]);
  const shown = ours.map((network) => showNetwork(network, pools, intents));
  const used = filters.has('dangling') ? await usedNetworks(parts) : new Set<string>();
  const matching = shown.filter((network) => matchesFilters(network, filters, used.has(textAt(network, 'Name'))));
  const names = new Set(ours.map(({ definition }) => definition.name));
  const others = value.filter((network) => !names.has(textAt(network, 'Name')));
  // Docker's list has no containers in it.
  return passOn(answer, write([...others, ...matching.map((network) => ({ ...network, Containers: {} }))]));
}

/** `GET /networks/NAME` */
export async function inspectNetwork(parts: Parts, exchange: Exchange, name: string): Promise<Reply> {
  const network = await ourNetwork(parts, name);
  if (network === undefined) return passOn(await exchange.forward());
  const [pools, intents, listed] = await Promise.all([
    parts.netd.pools({}, soon()),
    intentsOf(parts),
    parts.docker.json<{ Id: string; Names?: string[] }[]>({ method: 'GET', path: '/containers/json', signal: soon() }),
  ]);
  const names = new Map(listed.map(({ Id, Names = [] }) => [Id, (Names[0] ?? '').replace(/^\//, '')]));
  return jsonReply(200, showNetwork(network, pools, intents, names));
}

/** `POST /networks/create`: ours with `--driver eru` or `eru-routed`. */
export async function createNetwork(parts: Parts, { body, forward }: Exchange): Promise<Reply> {
  const request = requestOf(body);
  if (request === undefined) return passOn(await forward());
  canonicalFields(
    request,
    ['Name', 'Driver', 'IPAM', 'Internal', 'ConfigOnly', 'Ingress', 'Options', 'Labels'],
    'the request',
  );
  const name = textAt(request, 'Name');
  const ours = isOurDriver(request['Driver']);
  const known = ours ? await parts.networks.list() : await parts.networks.listOrLast();
  if (known.some(({ definition }) => definition.name === name))
    throw new EruError('exists', `network with name ${name} already exists: it is one of Eru's`);
  if (!ours) return passOn(await forward());
  if (isBuiltIn(name)) throw new EruError('invalid', `Name: ${name} is a name of Docker's own; take another`);
  const { network, subnets } = createdNetwork(request, systemClock.now());
  await putNetworkOn(parts.netd, network, subnets, {}, soon());
  return jsonReply(201, { Id: networkId(name), Warning: '' });
}

/** `DELETE /networks/NAME` */
export async function removeNetwork(parts: Parts, { forward }: Exchange, name: string): Promise<Reply> {
  const network = await ourNetwork(parts, name);
  if (network === undefined) return passOn(await forward());
  const { name: own } = network.definition;
  const user = (await intentsOf(parts)).find(({ networks }) => networks.some((one) => one.network === own));
  if (user !== undefined)
    throw new EruError(
      'forbidden',
      `network ${own} is in use by container ${user.container.slice(0, 12)}; remove that first`,
    );
  await removeNetworkAndPools(parts.netd, own, soon());
  return { status: 204, headers: [], body: Buffer.alloc(0) };
}

/** `POST /networks/NAME/connect` */
export async function connectContainer(parts: Parts, { body, forward }: Exchange, name: string): Promise<Reply> {
  const network = await ourNetwork(parts, name);
  if (network === undefined) return passOn(await forward());
  const request = requestOf(body) ?? {};
  const { id } = await ourContainer(parts, request, network);
  const endpoint = objectAt(request, 'EndpointConfig', 'the request');
  if (aliasesOf(endpoint).some((alias) => alias !== id.slice(0, 12)))
    parts.logger.info({ id }, 'names that a container gets by connect are not in its hosts file');
  const add = endpointWish(network.definition.name, endpoint);
  await parts.netd.amend({ container: id, add }, AbortSignal.timeout(attachMs));
  return empty();
}

/** `POST /networks/NAME/disconnect` */
export async function disconnectContainer(parts: Parts, { body, forward }: Exchange, name: string): Promise<Reply> {
  const network = await ourNetwork(parts, name);
  if (network === undefined) return passOn(await forward());
  const { name: own } = network.definition;
  const { id, networks } = await ourContainer(parts, requestOf(body) ?? {}, network);
  if (!networks.includes(own))
    throw new EruError('precondition', `container ${id.slice(0, 12)} is not connected to network ${own}`);
  await parts.netd.amend({ container: id, remove: own }, AbortSignal.timeout(attachMs));
  return empty();
}

/** The container that a request names, if it is one that we attach. @throws EruError */
async function ourContainer(
  parts: Parts,
  request: JsonObject,
  { definition }: NetworkStatus,
): Promise<{ id: string; networks: string[] }> {
  canonicalFields(request, ['Container', 'EndpointConfig'], 'the request');
  const { Container: name } = request;
  if (typeof name !== 'string' || name === '') throw new EruError('invalid', 'Container: write its name or id');
  const { id, mode } = await lookUp(parts, name);
  const [intent] = await parts.netd.intents({ container: id }, soon());
  if (intent !== undefined) return { id, networks: intent.networks.map(({ network }) => network) };
  throw new EruError(
    'forbidden',
    `container ${name} was created on Docker's network ${mode || 'bridge'}; only one that was created on a network of Eru can be on ${definition.name}`,
  );
}

async function ourNetwork(parts: Parts, name: string): Promise<NetworkStatus | undefined> {
  return isBuiltIn(name) ? undefined : pick(await parts.networks.listOrLast(), name);
}

/** Undefined for what is no object: dockerd says so. */
function requestOf(body: Buffer): JsonObject | undefined {
  try {
    const { value } = parseExact(body, 'the request');
    return isJsonObject(value) ? value : undefined;
  } catch (error) {
    if (isEruError(error, 'invalid')) return undefined;
    throw error;
  }
}

function empty(): Reply {
  return { status: 200, headers: [], body: Buffer.alloc(0) };
}

function soon(): AbortSignal {
  return AbortSignal.timeout(netdMs);
}
