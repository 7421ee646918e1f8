import { stableStringify, type JsonObject } from '@eru/kit';
import type { ResourceKind } from './kind.ts';
import type { CapacityRequest, Resources } from './model.ts';

/** A request as all kinds have read it. */
export interface Demand {
  /** By position of the kind in the scheduler. */
  readonly requests: readonly unknown[];
  readonly normal: Resources;
  /** Equal demands have equal keys; absent when the answer depends on more than the request. */
  readonly key?: string;
}

/** Every kind reads its part, also one that the request does not mention; parts that no kind knows are ignored. */
export function parseDemand(
  kinds: readonly ResourceKind[],
  { resources, asked, labels }: Pick<CapacityRequest, 'resources' | 'asked' | 'labels'>,
): Demand {
  const requests = kinds.map((kind) => kind.parse(resources[kind.name] ?? {}, asked?.[kind.name], labels));
  const normal: Record<string, JsonObject> = {};
  for (const [index, kind] of kinds.entries()) normal[kind.name] = kind.normal(requests[index]);
  return { requests, normal, ...(asked === undefined ? { key: stableStringify(normal) } : {}) };
}
