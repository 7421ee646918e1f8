import { EruError } from '@eru/kit';

import type { Engine } from './engine.ts';
import { connectEngine } from './wire/wire-client.ts';

export interface Peer {
  /** What tells daemons behind one endpoint apart. */
  name: string;
  /** Asked at every handshake. */
  admits: (fingerprint: string) => boolean;
}

interface Reach {
  /** PEM texts: the daemon's authority, and what we show. */
  ca: string;
  cert: string;
  key: string;
  peer?: Peer;
}

const scheme = 'eru+tls://';

export function isRemoteDaemon(endpoint: string): boolean {
  return endpoint.startsWith(scheme);
}

/**
 * Clients of node daemons on other machines, over mutual TLS. What we show changes from time to time: new calls then go over a
 * new connection, and those that run end on the old one, which is closed at the next change.
 */
export class RemoteDaemons {
  readonly #clients = new Map<string, { engine: Engine; shown: string; before: Engine | undefined }>();

  /** @throws EruError `invalid` for an endpoint without host and port, or without what TLS needs */
  get(endpoint: string, reach: Reach | undefined): Engine {
    const peer = reach?.peer;
    if (reach === undefined || peer === undefined)
      throw new EruError('invalid', `endpoint invalid ${endpoint}: invalid node endpoint`);
    const { ca, cert, key } = reach;
    const name = keyOf(endpoint, peer);
    const shown = ca + cert;
    const known = this.#clients.get(name);
    if (known?.shown === shown) return known.engine;
    const identity = ({ fingerprint }: { fingerprint: string }): boolean => peer.admits(fingerprint);
    const engine = connectEngine({ address: endpoint.slice(scheme.length), tls: { ca, cert, key, identity } });
    if (known?.before !== undefined) closeQuietly(known.before);
    this.#clients.set(name, { engine, shown, before: known?.engine });
    return engine;
  }

  /** Everything that runs over it ends now. */
  drop(endpoint: string, peer: Peer | undefined): void {
    if (peer === undefined) return;
    const name = keyOf(endpoint, peer);
    const known = this.#clients.get(name);
    this.#clients.delete(name);
    for (const engine of [known?.engine, known?.before]) if (engine !== undefined) closeQuietly(engine);
  }

  async close(): Promise<void> {
    const all = [...this.#clients.values()].flatMap(({ engine, before }) =>
      before === undefined ? engine : [engine, before],
    );
    await Promise.all(all.map((engine) => engine.close()));
  }
}

function closeQuietly(engine: Engine): void {
  engine.close().catch(() => {}); // it was not answering any more
}

function keyOf(endpoint: string, { name }: Peer): string {
  return `${endpoint} ${name}`;
}
