import { dockerAddress, type DockerAddress } from '@eru/engines';
import { EruError, invalid } from '@eru/kit';

import { readFlagFile } from './flag-file.ts';
import { isLoopback } from './loopback.ts';

/** For TLS with dockerd: whom it must be, and who we are to it. */
export interface UpstreamFiles {
  readonly ca?: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/**
 * `unix:///PATH`, or `tcp://HOST:PORT`, with TLS where an authority is given. The network daemon must be on dockerd's machine: so
 * there is no `ssh://`. @throws EruError `invalid` that names the flag
 */
export async function upstreamAt(text: string, { ca, cert, key }: UpstreamFiles): Promise<DockerAddress> {
  const tcp = /^tcp:\/\/[^/]+\/?$/.test(text);
  if (!tcp && !text.startsWith('unix:///'))
    throw invalid('--dockerd-path', text, 'write unix:///PATH of its socket, or tcp://HOST:PORT');
  if ([ca, cert, key].every((file) => file === undefined)) {
    const address = dockerAddress(text);
    if (isLoopback(address.host)) return address;
    throw invalid('--dockerd-path', text, 'without TLS only this machine is asked; give --dockerd-ca, -cert and -key');
  }
  if (!tcp) throw invalid('--dockerd-path', text, 'TLS is for tcp://HOST:PORT; leave --dockerd-ca, -cert and -key out');
  if (ca === undefined)
    throw new EruError('invalid', '--dockerd-ca is missing: dockerd must be known by its authority');
  if ((cert === undefined) !== (key === undefined))
    throw new EruError('invalid', '--dockerd-cert and --dockerd-key belong together; give both');
  return dockerAddress(text, {
    ca: await readFlagFile('--dockerd-ca', ca),
    cert: cert === undefined ? '' : await readFlagFile('--dockerd-cert', cert),
    key: key === undefined ? '' : await readFlagFile('--dockerd-key', key),
  });
}
