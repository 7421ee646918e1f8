import { invalid } from '@eru/kit';
import { spawn } from 'node:child_process';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import tls from 'node:tls';

import { StdioSocket } from './stdio-socket.ts';

/** PEM texts; all empty for a daemon that is reached without TLS. */
export interface DockerCertificates {
  ca: string;
  cert: string;
  key: string;
}

/** How a docker daemon is reached. */
export interface DockerAddress {
  /** One connection, open or opening. With `allowHalfOpen` the daemon's end leaves our side open. */
  dial(options?: { allowHalfOpen?: boolean }): Duplex;
  /** Of the `Host` header. */
  authority: string;
  /** Under which the host's network is reached; 127.0.0.1 for this machine. */
  host: string;
  /** The daemon is on this machine: its processes and cgroups can be looked at. */
  local: boolean;
}

export const defaultSocket = '/var/run/docker.sock';

/**
 * `unix:///path`, `docker://` (this machine's default socket), `tcp://host:port` (with certificates: TLS, the server's is
 * verified), `ssh://[user@]host[:port][/path of its socket]` (through the ssh program and its configuration; the machine needs
 * the `docker` command). @throws EruError `invalid`
 */
export function dockerAddress(endpoint: string, certificates?: DockerCertificates): DockerAddress {
  if (endpoint === 'docker://') return unixAddress(defaultSocket);
  if (/^(unix|docker):\/\/\//.test(endpoint)) return unixAddress(endpoint.replace(/^[a-z]+:\/\//, ''));
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const host = url?.hostname.replace(/^\[(.*)\]$/, '$1') ?? '';
  if (url === undefined || host === '')
    throw invalid('endpoint', endpoint, 'write unix:///path, tcp://host:port or ssh://user@host');
  if (url.protocol === 'ssh:') return sshAddress(url, host);
  if (url.protocol !== 'tcp:') throw invalid('endpoint', endpoint, 'docker is reached by unix, tcp or ssh');
  return tcpAddress(url, host, certificates);
}

function unixAddress(path: string): DockerAddress {
  return { dial: (options) => net.connect({ path, ...options }), authority: 'docker', host: '127.0.0.1', local: true };
}

const keepAlive = { keepAlive: true, keepAliveInitialDelay: 30_000 };

function tcpAddress(url: URL, host: string, certificates?: DockerCertificates): DockerAddress {
  const secure = certificates !== undefined && Object.values(certificates).some((pem) => pem !== '');
  const port = Number(url.port) || (secure ? 2376 : 2375);
  const common = { host, port, ...keepAlive };
  const pem = Object.fromEntries(Object.entries(certificates ?? {}).filter(([, text]) => text !== ''));
  const name = net.isIP(host) === 0 ? { servername: host } : {};
  return {
    dial: (options) =>
      secure ? tls.connect({ ...common, ...pem, ...name, ...options }) : net.connect({ ...common, ...options }),
    authority: url.host,
    host,
    local: false,
  };
}

function sshAddress(url: URL, host: string): DockerAddress {
  const user = url.username === '' ? [] : ['-l', decodeURIComponent(url.username)];
  const port = url.port === '' ? [] : ['-p', url.port];
  const daemon = /^\/?$/.test(url.pathname) ? [] : ['--host', `unix://${url.pathname}`];
  const unsafe = daemon.find((word) => !/^[\w:/.-]+$/.test(word));
  if (unsafe !== undefined) throw invalid('endpoint', url.href, 'a socket path of letters, digits, / . _ and -');
  // Nobody is there to be asked for a password; what does not answer is given up.
  const options = ['-T', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '-o', 'ServerAliveInterval=15'];
  const args = [...options, ...user, ...port, '--', host, 'docker', ...daemon, 'system', 'dial-stdio'];
  return {
    dial: () => new StdioSocket(spawn('ssh', args, { stdio: ['pipe', 'pipe', 'pipe'] }), `ssh to ${host}`),
    authority: 'docker',
    host,
    local: false,
  };
}
