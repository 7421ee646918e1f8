import type { Engine } from '@eru/engines';

import type { CoreCertificates } from '../trust/core-certificates.ts';
import { isCurrent } from './certificates.ts';
import type { NodeRecord } from '../state/records.ts';
import type { ClusterView } from '../state/view.ts';

export type EngineAddress = Pick<NodeRecord, 'endpoint' | 'ca' | 'cert' | 'key'>;

/** PEM texts; all empty without TLS. */
interface Certificates extends Omit<EngineAddress, 'endpoint'> {
  /** A daemon that is known by its certificate: whose it must be, and which. */
  peer?: { name: string; admits: (fingerprint: string) => boolean };
}

/** Engines by endpoint (`unix:///…`, `mock://…`); `unsupported` or `invalid` for one that none of ours serves. */
export interface Engines {
  get(endpoint: string, certificates: Certificates): Engine;
  /** No node is reached this way any more. Absent where nothing is kept. */
  drop?(endpoint: string, certificates: Certificates): void;
}

export function engineFor(engines: Engines, { endpoint, ca, cert, key }: EngineAddress): Engine {
  return engines.get(endpoint, { ca, cert, key });
}

/** A node daemon on another machine: mutual TLS with certificates of the cluster's authority. */
export function isRemote(endpoint: string): boolean {
  return endpoint.startsWith('eru+tls:');
}

/** The engine of a node, over this core's own certificate where it is on another machine. */
export function engineOfNode(
  engines: Engines,
  record: NodeRecord,
  { view, certificates }: { view: ClusterView; certificates: CoreCertificates },
): Engine {
  const { endpoint, name } = record;
  if (!isRemote(endpoint)) return engineFor(engines, record);
  const { cert, key, authority } = certificates.current();
  const admits = (fingerprint: string): boolean => {
    const now = view.nodes.get(name)?.value;
    return now !== undefined && isCurrent(now, fingerprint);
  };
  return engines.get(endpoint, { ca: authority, cert, key, peer: { name: `node:${name}`, admits } });
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
    const { endpoint, ca, cert, key } = old;
    if (!isRemote(endpoint)) for (const [, { value }] of view.nodes) if (sameAddress(old, value)) return;
    engines.drop?.(endpoint, {
      ca,
      cert,
      key,
      ...(isRemote(endpoint) && { peer: { name: `node:${old.name}`, admits: () => false } }),
    });
  });
}

function sameAddress(a: NodeRecord, b: NodeRecord): boolean {
  const reached = a.endpoint === b.endpoint && a.ca === b.ca && a.cert === b.cert && a.key === b.key;
  return reached && sameMachine(a, b);
}

/** A renewal keeps the certificate that was good until now beside the new one; a machine that joins anew has one of its own. */
function sameMachine({ certificates: old = [] }: NodeRecord, now: NodeRecord): boolean {
  return old.length === 0 || old.some((fingerprint) => isCurrent(now, fingerprint));
}
