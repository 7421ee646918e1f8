import { networkInterfaces } from 'node:os';

import { parseEndpoint, type ServerTls } from '@eru/contract';
import type { OwnCertificate } from '@eru/core';

import { reachableAddress } from './reachable.ts';
import { isLocal, type ServingPlan } from './settings/serving-flags.ts';

/** Other machines are served under TLS, whoever else may come in clear text. */
export function wantsTls({ listen, tls, secure }: ServingPlan): boolean {
  return tls !== undefined || secure || !isLocal(listen);
}

/** Nodes know core by the cluster's authority, everybody else by the certificate of the files, where there is one. */
export function tlsOf({ tls, secure }: ServingPlan, { cert, key, authority }: OwnCertificate): ServerTls {
  const byIdentity = { cert: cert + authority, key };
  if (tls === undefined) return { ...byIdentity, clientCa: authority, alsoClear: !secure };
  return { ...tls, byIdentity, clientCa: `${tls.clientCa ?? ''}\n${authority}` };
}

/** Every name and address by which clients may call what listens there. */
export async function hostsOf({ listen, hostNames }: ServingPlan, probeTarget: string | undefined): Promise<string[]> {
  const endpoint = parseEndpoint(listen);
  if ('path' in endpoint) return ['localhost'];
  const bare = (address: string): string => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  const everywhere = ['', '0.0.0.0', '::'].includes(endpoint.host);
  const addresses = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
  const given = endpoint.host === '' ? [] : [endpoint.host];
  const reachable = bare(await reachableAddress(`${endpoint.host}:${endpoint.port}`, probeTarget));
  const all = [
    'localhost',
    '127.0.0.1',
    '::1',
    '0.0.0.0',
    ...hostNames,
    ...given,
    reachable,
    ...(everywhere ? addresses : []),
  ];
  return [...new Set(all.filter((host) => host !== '' && !host.includes('%')))];
}
