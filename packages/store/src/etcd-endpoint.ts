import type { Channel, Client, ClientTls } from '@eru/contract';
import { client, connect } from '@eru/contract';

import { Auth, KV, Lease, Watch } from './gen/etcd_pb.ts';

/** Every unary call ends within this; a frozen server must not hold its caller. */
export const callTimeoutMs = 5_000;

/** One member, with a client for each of its services. */
export interface Endpoint {
  address: string;
  channel: Channel;
  kv: Client<typeof KV>;
  lease: Client<typeof Lease>;
  watch: Client<typeof Watch>;
  auth: Client<typeof Auth>;
}

/** It is dialled by its first call. */
export function connectEndpoint(address: string, tls: ClientTls | undefined): Endpoint {
  const channel = connect(address, {
    timeoutMs: callTimeoutMs,
    // etcd allows pings no closer than 5 s.
    keepaliveMs: 10_000,
    // A member that is cut off from the others refuses, where it would otherwise keep a watch that hears nothing.
    credentials: { hasleader: 'true' },
    ...(tls !== undefined && { tls }),
  });
  return {
    address,
    channel,
    kv: client(KV, channel),
    lease: client(Lease, channel),
    watch: client(Watch, channel),
    auth: client(Auth, channel),
  };
}
