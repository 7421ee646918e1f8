import type { NetworkStatus } from '@eru/network';
import { isJsonObject, type JsonObject } from '@eru/kit';

import { networkId, pick } from './known-networks.ts';
import { queryOf, withQuery } from './routes.ts';
import { parseFilters } from './show-network.ts';

/** Whether an entry of the list is asked for. */
type Filter = (entry: JsonObject) => boolean;

/**
 * dockerd sees no network and no published port of a container of ours. Where a list's filters ask for such, it is asked without them
 * and without a limit, which counts what is left; `kept` does the rest with what it answers.
 */
export function splitFilters(
  target: string,
  networks: readonly NetworkStatus[],
): { target: string; kept: (entries: readonly JsonObject[]) => readonly JsonObject[] } {
  const query = queryOf(target);
  const filters = parseFilters(query.get('filters')) ?? new Map<string, string[]>();
  const own = [networkFilter(filters, networks), portFilter(filters)].filter((one) => one !== undefined);
  if (own.length === 0) return { target, kept: (entries) => entries };
  for (const { names } of own) for (const name of names) filters.delete(name);
  const limit = Number(query.get('limit') ?? 0);
  query.set('filters', JSON.stringify(Object.fromEntries(filters)));
  if (limit > 0) {
    // Docker's limit means stopped ones too.
    query.delete('limit');
    query.set('all', '1');
  }
  const kept = (entries: readonly JsonObject[]): readonly JsonObject[] => {
    const found = entries.filter((entry) => own.every(({ test }) => test(entry)));
    return limit > 0 ? found.slice(0, limit) : found;
  };
  return { target: withQuery(target, query), kept };
}

interface OwnFilter {
  /** What it stands for. */
  readonly names: readonly string[];
  readonly test: Filter;
}

/** Undefined when none of the networks is ours. */
function networkFilter(
  filters: ReadonlyMap<string, string[]>,
  networks: readonly NetworkStatus[],
): OwnFilter | undefined {
  const wanted = filters.get('network')?.map((name) => ({ name, ours: pick(networks, name)?.definition.name }));
  if (wanted === undefined || wanted.every(({ ours }) => ours === undefined)) return undefined;
  const names = wanted.map(({ name, ours = name }) => ours);
  const test: Filter = (entry) => {
    const settings = entry['NetworkSettings'];
    const attached = isJsonObject(settings) && isJsonObject(settings['Networks']) ? settings['Networks'] : {};
    return Object.entries(attached).some(([name, endpoint]) => {
      const id = isJsonObject(endpoint) ? endpoint['NetworkID'] : undefined;
      return names.some((one) => one === name || one === id || networkId(one) === id);
    });
  };
  return { names: ['network'], test };
}

/**
 * `publish` is a port of the host, `expose` one of the container; who has either of them is asked for. Undefined when neither is there,
 * or makes no sense: dockerd says so.
 */
function portFilter(filters: ReadonlyMap<string, string[]>): OwnFilter | undefined {
  const [published = [], exposed = []] = ['publish', 'expose'].map((name) => (filters.get(name) ?? []).map(parsePorts));
  if (published.length + exposed.length === 0 || [...published, ...exposed].includes(undefined)) return undefined;
  const has = (ranges: readonly (Ports | undefined)[], port: unknown, type: unknown): boolean =>
    ranges.some(
      (one) => one !== undefined && one.protocol === type && Number(port) >= one.first && Number(port) <= one.last,
    );
  const test: Filter = ({ Ports: ports }) =>
    Array.isArray(ports) &&
    ports
      .filter(isJsonObject)
      .some((one) => has(published, one['PublicPort'], one['Type']) || has(exposed, one['PrivatePort'], one['Type']));
  return { names: ['publish', 'expose'], test };
}

interface Ports {
  readonly first: number;
  readonly last: number;
  readonly protocol: string;
}

/** `PORT[/PROTOCOL]` or `FIRST-LAST[/PROTOCOL]`. */
function parsePorts(text: string): Ports | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/([a-z]*))?$/i.exec(text);
  if (match === null) return undefined;
  const [, first = '', last = first, protocol = ''] = match;
  return { first: Number(first), last: Number(last), protocol: protocol.toLowerCase() || 'tcp' };
}
