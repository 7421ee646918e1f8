import type { Session } from '@eru/engines';
import { EruError } from '@eru/kit';
import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';

/**
 * The main process's own streams: what it says from now on, as it goes to the log, and its input, a pipe that stays open
 * whoever comes and goes. It has no terminal.
 * @param output ends after `exit`
 * @param input the named pipe; undefined = it reads nothing
 */
export function attachedSession(
  output: Session['output'],
  exit: Promise<number>,
  input: string | undefined,
  detach: () => void,
): Session {
  const pipe = input === undefined ? undefined : openPipe(input);
  let closed = pipe === undefined;
  const closeStdin = (): Promise<void> => {
    closed = true;
    pipe?.destroy();
    return Promise.resolve();
  };
  exit.then(closeStdin, closeStdin);
  return {
    output,
    exit,
    write: (data) => {
      if (closed || pipe === undefined) return Promise.reject(new EruError('precondition', 'stdin is not open'));
      if (data.length === 0) return Promise.resolve();
      return new Promise((resolve, reject) => {
        pipe.write(data, (error) => (error ? reject(EruError.from(error)) : resolve()));
      });
    },
    closeStdin,
    resize: () => Promise.reject(new EruError('precondition', 'this process has no terminal')),
    close: async () => {
      await closeStdin();
      detach();
    },
  };
}

/** Never waits: the process holds both ends. */
function openPipe(file: string): Socket {
  const fd = openSync(file, constants.O_WRONLY | constants.O_NONBLOCK);
  const pipe = new Socket({ fd, readable: false, writable: true });
  pipe.on('error', () => {}); // The write that it belongs to is told.
  return pipe;
}
