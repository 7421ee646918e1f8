import net from 'node:net';
import { EruError, isErrno } from '@eru/kit';

/**
 * Waits until no other process of this machine holds `name`. It is a listening socket in the abstract name space: it falls
 * with a killed owner, and those who wait hang on a connection to it, so that its end wakes them.
 */
export async function takeTurn(name: string): Promise<() => void> {
  for (;;) {
    const release = await listen(`\0${name}`);
    if (release !== undefined) return release;
    await untilClosed(`\0${name}`);
  }
}

function listen(address: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    const waiting = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      waiting.add(socket);
      socket.on('error', () => {}); // One that was killed while it waited.
      socket.on('close', () => waiting.delete(socket));
    });
    server.once('error', (cause) => {
      if (isErrno(cause, 'EADDRINUSE')) resolve(undefined);
      else reject(EruError.from(cause));
    });
    server.listen(address, () => {
      resolve(() => {
        server.close();
        for (const socket of waiting) socket.destroy();
      });
    });
  });
}

/** Also when there is nobody to wait for, or too many already wait: then only for a moment. */
function untilClosed(address: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(address);
    socket.on('error', () => {});
    socket.on('data', () => {});
    socket.once('close', (failed) => {
      if (failed) setTimeout(resolve, 2);
      else resolve();
    });
  });
}
