import { serve, type KeyPair, type Serving } from '@eru/contract';
import { engineService, type Engine } from '@eru/engines';
import { EruError, type Logger } from '@eru/kit';

/** What a daemon shows on the network, and whom it trusts. */
export interface RemoteTls extends KeyPair {
  /** PEM: whose certificates callers must have. */
  authority: string;
}

/** The node daemon for cores on other machines: under TLS alone, and to nobody but a core of the cluster. */
export async function serveRemote({
  listen,
  engine,
  tls,
  logger,
}: {
  listen: string;
  engine: Engine;
  tls: RemoteTls;
  logger: Logger;
}): Promise<{ address: string; setTls(tls: RemoteTls): void; close(): Promise<void> }> {
  const serving: Serving = await serve({
    listen,
    services: [engineService(engine)],
    tls: serverTls(tls),
    authenticate: ({ certificate }) => {
      if (certificate?.name.startsWith('core:') === true) return;
      throw new EruError(
        'unauthenticated',
        certificate === undefined
          ? 'a node daemon answers only who shows the certificate of a core'
          : `a node daemon answers cores only, not ${certificate.name}`,
      );
    },
  });
  logger.info({ address: serving.address }, 'the node daemon serves cores on other machines');
  return {
    address: serving.address,
    setTls: (next) => serving.setTls(serverTls(next)),
    close: () => serving.close(),
  };
}

function serverTls({ cert, key, authority }: RemoteTls): Parameters<Serving['setTls']>[0] {
  return { cert, key, clientCa: authority };
}
