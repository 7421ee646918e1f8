import type { Json, JsonObject } from '@eru/kit';
import { refused } from '../refused.ts';
import { formatBinding, identityOf, parseBinding, roleOf, type Binding } from './binding.ts';
import { addIo, hasIo, largerIo } from './io.ts';
import { parseStorage } from './size.ts';

/** One volume: the request is booked, the limit is enforced. Both are of the same identity. */
export interface Volume {
  readonly request: Binding;
  readonly limit: Binding;
}

/** What one workload asks for. Bytes; storage is a total and includes the volumes. */
export interface StorageRequest {
  /** In the order of the requests' full texts. */
  readonly volumes: readonly Volume[];
  readonly storageRequest: number;
  readonly storageLimit: number;
}

const volumeRequestKeys = ['volumes-request', 'volume-request'] as const;
const volumeLimitKeys = ['volumes', 'volume', 'volume-limit', 'volumes-limit'] as const;

export const requestKeys = [
  ...volumeRequestKeys,
  ...volumeLimitKeys,
  'storage',
  'storage-request',
  'storage-limit',
] as const;

/** A deploy's request. @throws EruError `invalid`, with the original's text at the end of the message */
export function parseRequest(raw: JsonObject): StorageRequest {
  const { requests, limits, storageRequest, storageLimit } = readAsked(raw);
  return complete(requests.length > 0 ? requests : limits, limits, storageRequest, storageLimit);
}

/**
 * A realloc's request is a delta (section 4.4): amounts of volumes of the same identity add up, one that ends below 0 is gone,
 * and the sum is checked as if new. `replan`: the delta touches something that was put on a volume or takes IO.
 */
export function parseDelta(raw: JsonObject, current: StorageRequest): { next: StorageRequest; replan: boolean } {
  const { requests, limits, storageRequest, storageLimit } = readAsked(raw);
  const own = withoutVolumes(current);
  const next = complete(
    merge(requestsOf(current), requests.length > 0 ? requests : limits),
    merge(limitsOf(current), limits),
    own.storageRequest + storageRequest,
    own.storageLimit + storageLimit,
  );
  return { next, replan: [...requests, ...limits].some(isPlanned) };
}

/** Empty when nothing is asked. Read again it gives the same request: the volumes are not counted into the storage twice. */
export function formatRequest(request: StorageRequest): JsonObject {
  if (asksNothing(request)) return {};
  const own = withoutVolumes(request);
  return {
    'storage-request': own.storageRequest,
    'storage-limit': own.storageLimit,
    'volumes-request': requestsOf(request).map(formatBinding),
    'volumes-limit': limitsOf(request).map(formatBinding),
  };
}

export function asksNothing({ volumes, storageRequest, storageLimit }: StorageRequest): boolean {
  return volumes.length === 0 && storageRequest === 0 && storageLimit === 0;
}

/** Whether a binding needs a decision of the planner; any other mount is the engine's alone. */
export function isPlanned(binding: Binding): boolean {
  return roleOf(binding) !== 'mount' || hasIo(binding.io);
}

export function requestsOf({ volumes }: Pick<StorageRequest, 'volumes'>): Binding[] {
  return volumes.map(({ request }) => request);
}

export function limitsOf({ volumes }: Pick<StorageRequest, 'volumes'>): Binding[] {
  return volumes.map(({ limit }) => limit);
}

export function sizesOf(bindings: readonly Binding[]): number {
  return bindings.reduce((sum, { size }) => sum + size, 0);
}

interface Asked {
  readonly requests: readonly Binding[];
  readonly limits: readonly Binding[];
  readonly storageRequest: number;
  readonly storageLimit: number;
}

function readAsked(raw: JsonObject): Asked {
  const both = readStorage(raw, 'storage');
  return {
    requests: readVolumes(raw, volumeRequestKeys),
    limits: readVolumes(raw, volumeLimitKeys),
    storageRequest: both || readStorage(raw, 'storage-request'),
    storageLimit: both || readStorage(raw, 'storage-limit'),
  };
}

function readStorage(raw: JsonObject, key: string): number {
  return parseStorage(raw[key], `storage ${key}`) ?? 0;
}

/** The first of these keys that names a volume. */
function readVolumes(raw: JsonObject, keys: readonly string[]): Binding[] {
  for (const key of keys) {
    const list = raw[key] ?? [];
    if (!Array.isArray(list)) throw notAList(key, list);
    if (list.length > 0)
      return list.map((text) => {
        if (typeof text !== 'string') throw notAList(key, list);
        return parseBinding(text, `storage ${key}`);
      });
  }
  return [];
}

function notAList(key: string, value: Json): Error {
  return refused(`storage ${key}`, value, 'write a list such as ["AUTO:/data:rw:10G"]', 'invalid volume');
}

/** Binding by binding: sizes and IO add up; below 0 means that the volume goes. */
function merge(current: readonly Binding[], delta: readonly Binding[]): Binding[] {
  const merged = new Map(current.map((binding) => [identityOf(binding), binding]));
  for (const change of delta) {
    const before = merged.get(identityOf(change));
    const after =
      before === undefined ? change : { ...before, size: before.size + change.size, io: addIo(before.io, change.io) };
    merged.set(identityOf(change), after);
  }
  return [...merged.values()].filter(({ size }) => size >= 0);
}

/** The rules of section 4.1, in its order. `storageRequest` and `storageLimit` do not include the volumes yet. */
function complete(
  requests: readonly Binding[],
  limits: readonly Binding[],
  storageRequest: number,
  storageLimit: number,
): StorageRequest {
  const volumes = pair(requests, limits);
  for (const [key, amount] of [
    ['storage-limit', storageLimit],
    ['storage-request', storageRequest],
  ] as const) {
    if (amount < 0) throw refused(`storage ${key}`, amount, 'write 0 for none, or more', 'invalid storage');
  }
  const request = storageRequest === 0 ? storageLimit : storageRequest;
  return {
    volumes,
    storageRequest: request + sizesOf(requestsOf({ volumes })),
    storageLimit: Math.max(request, storageLimit) + sizesOf(limitsOf({ volumes })),
  };
}

function pair(requests: readonly Binding[], limits: readonly Binding[]): Volume[] {
  const asked = `storage ${volumeRequestKeys[0]}`;
  if (requests.length !== limits.length)
    throw refused(
      asked,
      requests.map(formatBinding),
      `name the same volumes as volumes-limit, which has ${limits.length}`,
      'invalid volume',
    );
  for (const binding of [...requests, ...limits]) checkBinding(binding);
  const targets = new Set<string>();
  const byText = (a: Binding, b: Binding): number => (formatBinding(a) < formatBinding(b) ? -1 : 1);
  const sortedLimits = limits.toSorted(byText);
  return requests.toSorted(byText).map((request, index) => {
    const limit = sortedLimits[index] as Binding;
    if (identityOf(request) !== identityOf(limit))
      throw refused(
        asked,
        formatBinding(request),
        `write source, target and flags as in volumes-limit, which has ${formatBinding(limit)}`,
        'invalid volume',
      );
    if (targets.has(request.target))
      throw refused(
        asked,
        formatBinding(request),
        'another volume has this target; give each its own',
        'invalid volume',
      );
    targets.add(request.target);
    return { request, limit: raise(limit, request) };
  });
}

/** A limit is never below its request; a size of 0 is no limit. */
function raise(limit: Binding, request: Binding): Binding {
  const bounded = request.size > 0 && limit.size > 0;
  return {
    ...limit,
    size: bounded ? Math.max(limit.size, request.size) : limit.size,
    io: largerIo(limit.io, request.io),
  };
}

function checkBinding(binding: Binding): void {
  const text = formatBinding(binding);
  const field = 'storage volumes';
  if (binding.io.some((amount) => amount < 0))
    throw refused(field, text, 'write 0 for no IO, or more', 'invalid io parameters');
  if (binding.size < 0) throw refused(field, text, 'write a size of 0 for unlimited, or more', 'invalid volume');
  if (roleOf(binding) === 'mono' && binding.size === 0 && !hasIo(binding.io))
    throw refused(field, text, 'an exclusive volume (flag m) needs a size or IO', 'invalid volume');
}

/** The part of the storage that is beside the volumes, as people write it. */
function withoutVolumes(request: StorageRequest): Pick<StorageRequest, 'storageRequest' | 'storageLimit'> {
  return {
    storageRequest: request.storageRequest - sizesOf(requestsOf(request)),
    storageLimit: request.storageLimit - sizesOf(limitsOf(request)),
  };
}
