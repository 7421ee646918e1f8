import { connectCore, type ConnectCoreOptions, type Core } from '@eru/client';
import { systemClock } from '@eru/kit';

import type { NodeIdentity } from './node-identity.ts';

/** Longer than any call of an agent lasts. */
const lastCallsMs = 30_000;

/** The cores of a machine's cluster are known by its authority, at whatever address. */
export function coreTls(
  authority: string,
  own?: { cert: string; key: string },
): NonNullable<ConnectCoreOptions['tls']> {
  return { ca: authority, identity: ({ name }) => name.startsWith('core:'), ...own };
}

/** Core, as seen by a machine that has joined. */
export function connectAsNode({ cores, authority, cert, key }: NodeIdentity): Core {
  return connectCore({ addresses: cores, tls: coreTls(authority, { cert, key }) });
}

/** The same over the certificate that the machine has at the time of a call. */
export function connectOverRenewals(first: NodeIdentity): {
  core: Pick<Core, 'core' | 'eru'>;
  use(identity: NodeIdentity): void;
  close(): void;
} {
  let current = connectAsNode(first);
  let before: Core | undefined;
  return {
    core: {
      get core() {
        return current.core;
      },
      get eru() {
        return current.eru;
      },
    },
    use: (identity) => {
      before?.close();
      before = current;
      current = connectAsNode(identity);
      const old = before;
      systemClock.timer(lastCallsMs, () => old.close());
    },
    close: () => {
      before?.close();
      current.close();
    },
  };
}
