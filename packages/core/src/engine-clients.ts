import type { Engine } from '@eru/engines';

import type { NodeRecord } from './records.ts';
import type { ClusterView } from './view.ts';

export type EngineAddress = Pick<NodeRecord, 'endpoint' | 'ca' | 'cert' | 'key'>;
type Certificates = Omit<EngineAddress, 'endpoint'>;

/** Engines by endpoint (`unix:///…`, `mock://…`); `unsupported` or `invalid` for one that none of ours serves. */
export interface Engines {
  get(endpoint: string, certificates: Certificates): Engine;
  /** No node is reached this way any more. Absent where nothing is kept. */
  drop?(endpoint: string, certificates: Certificates): void;
}

export function engineFor(engines: Engines, { endpoint, ca, cert, key }: EngineAddress): Engine {
  return engines.get(endpoint, { ca, cert, key });
}

/**
 * Drops the client of an endpoint with its certificates as soon as no node has them any more, whichever core changed or
 * removed it, so that nothing goes on over a connection that was to end. Answers what stops it.
 */
export function dropUnused(view: ClusterView, engines: Engines): () => void {
  return view.subscribe(({ table, before, after }) => {
    if (table !== 'nodes' || before === undefined) return;
    const old = before.value as NodeRecord;
    if (after !== undefined && sameAddress(old, after.value as NodeRecord)) return;
    for (const [, { value }] of view.nodes) if (sameAddress(old, value)) return;
    const { endpoint, ca, cert, key } = old;
    engines.drop?.(endpoint, { ca, cert, key });
  });
}

function sameAddress(a: EngineAddress, b: EngineAddress): boolean {
  return a.endpoint === b.endpoint && a.ca === b.ca && a.cert === b.cert && a.key === b.key;
}
