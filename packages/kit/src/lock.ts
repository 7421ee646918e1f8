import { stat } from 'node:fs/promises';
import net from 'node:net';

import { EruError, isErrno } from './error.ts';

/**
 * Exclusive ownership of a folder among the processes of this machine. It is a listening socket in the abstract name
 * space, named after the folder's device and inode, so it falls with a killed owner and leaves nothing to clean up.
 * The second comer gets `busy` at once.
 */
export async function lockFolder(folder: string, purpose: string): Promise<{ release(): Promise<void> }> {
  const { dev, ino } = await stat(folder);
  const server = net.createServer((socket) => socket.destroy());
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      if (!isErrno(cause, 'EADDRINUSE')) return reject(EruError.from(cause));
      reject(
        new EruError(
          'busy',
          `${folder} is in use by another Eru process (${purpose}); stop that one first, or give another folder with --data`,
        ),
      );
    });
    server.listen(`\0eru-${purpose}-${dev}-${ino}`, resolve);
  });
  server.unref();
  return { release: () => new Promise((resolve) => server.close(() => resolve())) };
}
