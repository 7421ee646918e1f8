import { once } from 'node:events';
import net from 'node:net';

/** Below what Linux gives to connections and below what the node daemon gives to workloads. */
const [first, last] = [10_000, 19_999];

/**
 * Ports of loopback on which nobody listens, for servers that die and come back: while they are away nothing else gets these
 * numbers. Not so with ports that the kernel chooses: any connection of the machine may have those next, even one that tries to
 * reach the dead server, from that very port.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) {
    const port = first + Math.floor(Math.random() * (last - first + 1));
    if (!ports.has(port) && (await isFree(port))) ports.add(port);
  }
  return [...ports];
}

export async function freePort(): Promise<number> {
  const [port] = (await freePorts(1)) as [number];
  return port;
}

async function isFree(port: number): Promise<boolean> {
  const server = net.createServer();
  try {
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}
