import { chmod, chown, readFile } from 'node:fs/promises';
import net, { type Server, type Socket } from 'node:net';
import tls from 'node:tls';

import { listen, parseEndpoint } from '@eru/contract';
import { EruError, invalid } from '@eru/kit';

import { readFlagFile } from './flag-file.ts';
import { isLoopback } from './loopback.ts';

export interface TlsFiles {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Of the authority that clients' certificates are from. */
  readonly clientCa?: string | undefined;
}

/** Where clients come in, ready to be bound. */
export interface Listener {
  /** @throws EruError when it cannot be bound. Answers how to close it, and the address with its real port. */
  open(take: (socket: Socket) => void): Promise<{ address: string; close(): Promise<void> }>;
}

/** A peer that lost its network says nothing when it goes. */
const kept = { keepAlive: true, keepAliveInitialDelay: 30_000 };

/**
 * `unix:///PATH` (for root and a group), `https://HOST:PORT` (for whoever shows a certificate of the client authority), `http://HOST:PORT`
 * (this machine's own addresses only: whoever reaches dockerd is root). @throws EruError `invalid` before anything is opened
 */
export async function listenerAt(text: string, files: TlsFiles, group: string | undefined): Promise<Listener> {
  const [, scheme = '', rest = ''] = /^([a-z]+):\/\/(.*)$/.exec(text) ?? [];
  if (scheme === 'unix') {
    const endpoint = parseEndpoint(text);
    const gid = await groupId(group);
    return { open: (take) => openServer(net.createServer({ allowHalfOpen: true }, take), endpoint, gid) };
  }
  if (scheme !== 'https' && scheme !== 'http') throw invalid('--host', text, 'write unix:///PATH or https://HOST:PORT');
  const endpoint = parseEndpoint(rest.replace(/\/$/, ''));
  if (scheme === 'http') {
    if (!('host' in endpoint) || !isLoopback(endpoint.host))
      throw invalid(
        '--host',
        text,
        'without TLS only this machine may call: write http://127.0.0.1:PORT, or https://…',
      );
    return { open: (take) => openServer(net.createServer({ allowHalfOpen: true, ...kept }, take), endpoint) };
  }
  const { cert, key, clientCa } = files;
  if (cert === undefined || key === undefined || clientCa === undefined)
    throw invalid('--host', text, 'TLS needs --server-cert, --server-key and --client-ca (whose clients may come in)');
  const options = {
    allowHalfOpen: true,
    ...kept,
    cert: await readFlagFile('--server-cert', cert),
    key: await readFlagFile('--server-key', key),
    ca: await readFlagFile('--client-ca', clientCa),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2' as const,
  };
  let server: tls.Server;
  try {
    server = tls.createServer(options, take);
  } catch (cause) {
    throw new EruError('invalid', `the certificate files cannot be used: ${EruError.from(cause).message}`, { cause });
  }
  let taken: (socket: Socket) => void = () => {};
  function take(socket: Socket): void {
    taken(socket);
  }
  return {
    open: (given) => {
      taken = given;
      return openServer(server, endpoint);
    },
  };
}

async function openServer(
  server: Server,
  endpoint: Parameters<typeof listen>[1],
  gid?: number,
): Promise<{ address: string; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  const address = await listen(server, endpoint);
  if ('path' in endpoint && gid !== undefined) {
    await chown(endpoint.path, process.getuid?.() ?? 0, gid);
    await chmod(endpoint.path, 0o660);
  }
  return {
    address,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/**
 * Without a name: Docker's own group, where there is one that this process may give its socket to. @throws EruError `invalid` for a name that
 * nobody knows, or whose group this process may not give anything to
 */
async function groupId(group: string | undefined): Promise<number | undefined> {
  const text = await readFile('/etc/group', 'utf8');
  const line = text.split('\n').find((one) => one.startsWith(`${group ?? 'docker'}:`));
  const gid = Number(/^[^:]*:[^:]*:(\d+):/.exec(line ?? '')?.[1]);
  const ours = process.geteuid?.() === 0 || process.getegid?.() === gid || process.getgroups?.().includes(gid) === true;
  if (!Number.isNaN(gid) && ours) return gid;
  if (group === undefined) return undefined;
  if (Number.isNaN(gid)) throw invalid('--group', group, 'this machine has no group of that name (/etc/group)');
  throw invalid('--group', group, 'only root and members of that group may give the socket to it');
}
