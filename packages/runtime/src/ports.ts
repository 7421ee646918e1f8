import { EruError } from '@eru/kit';
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
): Promise<Record<string, number>> {
  const chosen: Record<string, number> = {};
  for (const wanted of publish) {
    if (!/^\d+$/.test(wanted)) {
      chosen[wanted] = await freePort(new Set([...taken, ...Object.values(chosen)]));
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

async function freePort(not: ReadonlySet<number>): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const port = await bound(0);
    if (port !== undefined && !not.has(port)) return port;
  }
  throw new EruError('busy', 'publish: no free port was found on this machine');
}

async function canBind(port: number): Promise<boolean> {
  return (await bound(port)) !== undefined;
}

function bound(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(undefined));
    server.listen(port, '0.0.0.0', () => {
      const address = server.address() as net.AddressInfo;
      server.close(() => resolve(address.port));
    });
  });
}
