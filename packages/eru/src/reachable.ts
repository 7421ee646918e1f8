import dgram from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';

/** Where a packet would go to find out by which address it leaves; none is sent (the original's `probe_target`). */
const defaultProbe = '8.8.8.8:80';

/**
 * What others are told to reach a port at: the address that it listens on, or, when that is all of them, the one by which
 * this machine speaks to the world. Empty for a socket in the file system.
 */
export async function reachableAddress(address: string, probe = defaultProbe): Promise<string> {
  if (address.startsWith('unix:')) return '';
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(address) ?? [];
  const bare = host.replace(/^\[|\]$/g, '');
  if (bare !== '' && bare !== '0.0.0.0' && bare !== '::') return address;
  return `${(await outwardAddress(probe)) ?? anyAddress() ?? '127.0.0.1'}:${port}`;
}

async function outwardAddress(probe: string): Promise<string | undefined> {
  const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(probe) ?? [];
  const socket = dgram.createSocket('udp4');
  try {
    socket.connect(Number(port), host);
    await once(socket, 'connect');
    return socket.address().address;
  } catch {
    return undefined; // no route to the world
  } finally {
    socket.close();
  }
}

function anyAddress(): string | undefined {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
}
