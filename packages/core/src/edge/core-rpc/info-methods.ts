import type { pb, ServiceHandlers } from '@eru/contract';

import type { Edge } from '../edge.ts';
import { Latest } from '../latest.ts';

/** The list is repeated this often; a client that hears nothing for twice as long reconnects. */
const pushMs = 15_000;

export function infoMethods({ context, identifier, version, closing }: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  return {
    /** The agents' liveness probe: no store, no failure. */
    info: async () => ({
      version,
      revison: '',
      buildAt: '',
      golangVersion: `node ${process.version}`,
      osArch: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
      identifier,
    }),

    /** A snapshot at once, then every change and every tick. */
    watchServiceStatus: async function* (_request, { signal }) {
      const { view, clock } = context;
      const pushes = new Latest<true>(1);
      const push = (): void => pushes.set('cores', true);
      const over = AbortSignal.any([signal, closing]);
      over.addEventListener('abort', () => pushes.end(), { once: true });
      if (over.aborted) return;
      const unsubscribe = view.subscribe(({ table }) => {
        if (table === 'cores') push();
      });
      let timer = clock.timer(pushMs, push);
      push();
      try {
        for await (const _push of pushes) {
          timer.cancel();
          timer = clock.timer(pushMs, push);
          // Go clients split an address at its only colon.
          const addresses = [...view.cores]
            .map(([, { value }]) => value.address)
            .filter((address) => address.split(':').length === 2);
          yield { addresses: [...new Set(addresses)].toSorted(), intervalInSecond: BigInt((2 * pushMs) / 1000) };
        }
      } finally {
        timer.cancel();
        unsubscribe();
      }
    },
  };
}
