import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

/**
 * Why a request over HTTP is not answered; undefined when it is. A browser sends what foreign pages make it send: such a
 * page gives itself away by its `Origin`, or, when its own name was pointed at this address, by the `Host`. An address in
 * figures cannot be pointed elsewhere, so it is always good.
 * @param names further host names under which this server is known, without port
 */
export function foreignRequest(
  { headers }: Pick<IncomingMessage, 'headers'>,
  names: readonly string[],
): string | undefined {
  const { host, origin } = headers;
  if (host === undefined) return 'a request without Host';
  const name = hostName(host);
  if (name === undefined || !(isIP(name) > 0 || name === 'localhost' || names.includes(name)))
    return `this server is not known as ${JSON.stringify(host)}`;
  if (origin !== undefined && originHost(origin) !== host.toLowerCase())
    return `a page of ${JSON.stringify(origin)} may not call this server`;
  return undefined;
}

/** Without port and brackets, in lower case. */
function hostName(host: string): string | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/.exec(host);
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}

function originHost(origin: string): string | undefined {
  return /^https?:\/\/([^/]+)$/i.exec(origin)?.[1]?.toLowerCase();
}
