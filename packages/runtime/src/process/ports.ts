import { EruError, type Random } from '@eru/kit';
import { readFileSync } from 'node:fs';
import net from 'node:net';

/** `http` -> `ERU_PORT_HTTP`. */
export function portVariable(name: string): string {
  return `ERU_PORT_${name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
}

/**
 * A free port of the host for each name; numbers are only tested. `taken` are those of our other workloads, which may be stopped
 * and so not bound. `busy` names the port that cannot be had.
 */
export async function choosePorts(
  publish: readonly string[],
  taken: ReadonlySet<number>,
  random: Random,
): Promise<Record<string, number>> {
  const chosen: Record<string, number> = {};
  for (const wanted of publish) {
    if (!/^\d+$/.test(wanted)) {
      chosen[wanted] ??= await freePort(new Set([...taken, ...Object.values(chosen), ...publish.map(Number)]), random);
      continue;
    }
    const port = Number(wanted);
    if (taken.has(port) || !(await canBind(port))) {
      throw new EruError(
        'busy',
        `publish: port ${port} is in use on this machine; choose another, or a name (publish: ["http"]) for a free one`,
      );
    }
  }
  return chosen;
}

/** Where nobody else chooses: between the ports of well-known services and those that the kernel gives to connections. */
const firstPort = 20_000;
const lastPort = 32_767;

/** Outside the kernel's own range, else a connection of the machine could hold it while the workload is stopped. */
async function freePort(not: ReadonlySet<number>, random: Random): Promise<number> {
  const [least = lastPort + 1, most = 0] = kernelRange();
  for (let attempt = 0; attempt < 1000; attempt++) {
    const port = firstPort + random.int(lastPort - firstPort + 1);
    if (port >= least && port <= most) continue;
    if (!not.has(port) && (await canBind(port))) return port;
  }
  throw new EruError('busy', `publish: no free port was found on this machine between ${firstPort} and ${lastPort}`);
}

function kernelRange(): number[] {
  try {
    return readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').trim().split(/\s+/).map(Number);
  } catch {
    return [];
  }
}

/** On every address, of both families where the machine has both. */
async function canBind(port: number): Promise<boolean> {
  const both = await bind(port, '::');
  return both === 'EAFNOSUPPORT' || both === 'EADDRNOTAVAIL' ? (await bind(port, '0.0.0.0')) === 'ok' : both === 'ok';
}

function bind(port: number, host: string): Promise<string> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'failed'));
    server.listen(port, host, () => server.close(() => resolve('ok')));
  });
}
