import type { ErrorCode } from '@eru/kit';
import { EruError, invalid, isErrno } from '@eru/kit';
import { chmodSync, existsSync, lstatSync, unlinkSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import net from 'node:net';
import { dirname } from 'node:path';

/** `sun_path` of Linux holds 108 bytes with its final zero. */
const maxSocketPathBytes = 107;

export type Endpoint = { host: string; port: number } | { path: string };

/** `host:port`, `[v6]:port`, `:port` (all interfaces) or `unix:///path`. */
export function parseEndpoint(text: string): Endpoint {
  if (text.startsWith('unix:')) {
    const path = text.replace(/^unix:(\/\/)?/, '');
    if (!path.startsWith('/')) throw invalid('address', text, 'use unix:///absolute/path');
    return { path: checkSocketPath(path) };
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) throw invalid('address', text, 'use HOST:PORT, [IPV6]:PORT or unix:///path');
  return { host: match[1] ?? match[2] ?? '', port };
}

function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes <= maxSocketPathBytes) return path;
  throw invalid(
    'socket path',
    path,
    `it has ${bytes} bytes and Linux allows ${maxSocketPathBytes}: choose a shorter folder, for instance with --data`,
  );
}

/** Binds; answers the address as clients write it, with the real port. A socket file is for its owner only. */
export async function listen(server: Server, endpoint: Endpoint): Promise<string> {
  if ('path' in endpoint) {
    await removeStaleSocket(endpoint.path);
    // libuv calls this EACCES.
    if (!existsSync(dirname(endpoint.path)))
      throw new EruError('not_found', `cannot listen on ${endpoint.path}: its folder does not exist`);
    await bind(server, endpoint.path, { path: endpoint.path });
    chmodSync(endpoint.path, 0o600);
    return `unix://${endpoint.path}`;
  }
  const { host, port } = endpoint;
  await bind(server, `${host}:${port}`, host === '' ? { port } : { host, port });
  const bound = server.address() as AddressInfo;
  const shown = host === '' ? bound.address : host;
  return shown.includes(':') ? `[${shown}]:${bound.port}` : `${shown}:${bound.port}`;
}

function bind(server: Server, shown: string, options: net.ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const refused = (cause: NodeJS.ErrnoException): void => reject(bindError(cause, shown));
    server.once('error', refused);
    server.listen(options, () => {
      server.off('error', refused);
      resolve();
    });
  });
}

function bindError(cause: NodeJS.ErrnoException, shown: string): EruError {
  const [code, why] = bindFailures[cause.code ?? ''] ?? [EruError.from(cause).code, cause.message];
  return new EruError(code, `cannot listen on ${shown}: ${why}`, { cause });
}

const bindFailures: Readonly<Record<string, [ErrorCode, string]>> = {
  EADDRINUSE: ['busy', 'another program does already; stop that one, or listen on another port'],
  EADDRNOTAVAIL: ['invalid', 'this machine has no such address'],
  ENOTFOUND: ['invalid', 'this machine has no such address'],
  EAI_AGAIN: ['invalid', 'the name cannot be resolved'],
  EACCES: ['precondition', 'permission denied'],
};

/** A killed owner leaves its socket file behind: nobody answers there, so the name is free. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!lstatSync(path).isSocket()) {
      throw new EruError('exists', `cannot listen on ${path}: a file that is no socket has this name`);
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return;
    throw error;
  }
  if (await answers(path)) throw new EruError('busy', `cannot listen on ${path}: another program does already`);
  unlinkSync(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    // Anything but a plain refusal (no permission, a full backlog) means that somebody may live there.
    probe.once('error', (error) => resolve(!isErrno(error, 'ECONNREFUSED')));
  });
}
