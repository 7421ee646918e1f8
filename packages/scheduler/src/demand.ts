import { stableStringify, type JsonObject } from '@eru/kit';
import type { ResourceKind } from './kind.ts';
import type { CapacityRequest, Resources } from './model.ts';

/** A request as all kinds have read it; lists are by position of the kind in the scheduler. */
export interface Demand {
  readonly requests: readonly unknown[];
  readonly normal: Resources;
  /** Equal texts, equal answers; `undefined` where the kind was asked for this request and may say something else next time. */
  readonly texts: readonly (string | undefined)[];
}

/** Every kind reads its part, also one that the request does not mention; parts that no kind knows are ignored. */
export function parseDemand(
  kinds: readonly ResourceKind[],
  { resources, asked, labels }: Pick<CapacityRequest, 'resources' | 'asked' | 'labels'>,
): Demand {
  const requests = kinds.map((kind) => kind.parse(resources[kind.name] ?? {}, asked?.[kind.name], labels));
  const normal: Record<string, JsonObject> = {};
  const texts = kinds.map((kind, index) => {
    const part = kind.normal(requests[index]);
    normal[kind.name] = part;
    return asked?.[kind.name] === undefined ? stableStringify(part) : undefined;
  });
  return { requests, normal, texts };
}
