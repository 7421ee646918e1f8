import { constants, openSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

import type { Logger } from '@eru/kit';
import { EruError, isErrno, runOk, systemClock } from '@eru/kit';

/** How long a caller may take from its call until it reads. */
const readerMs = 5000;
const readerPauseMs = 2;

/** One digit for the caller's exit, and what it is to print. */
export interface MailboxAnswer {
  code: number;
  output: string;
}

/**
 * Calls of shell scripts, which cannot speak to a socket: a line in the FIFO `calls` names one, NAME.call holds it, and
 * NAME.reply, a FIFO too, gets the answer. The file `pid` says whom to expect an answer from. Only root may look in.
 * @throws EruError `precondition` for a folder that has something else in it
 */
export async function serveMailbox(
  folder: string,
  answer: (text: string) => Promise<MailboxAnswer>,
  logger: Logger,
): Promise<{ close(): Promise<void> }> {
  await clear(folder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await runOk('mkfifo', ['-m', '600', path.join(folder, 'calls')]);
  // Read and write, so that it does not end with each writer.
  const fd = openSync(path.join(folder, 'calls'), constants.O_RDWR | constants.O_NONBLOCK);
  const fifo = new Socket({ fd, readable: true, writable: false });
  const answering = new Set<Promise<void>>();
  createInterface({ input: fifo }).on('line', (name) => {
    const answered = answerCall(folder, name, answer)
      .catch((error: unknown) => logger.warn({ err: error, name }, 'the call of a script could not be answered'))
      .finally(() => answering.delete(answered));
    answering.add(answered);
  });
  await writeFile(path.join(folder, 'pid'), `${process.pid}\n`);
  return {
    close: async () => {
      await rm(path.join(folder, 'pid'), { force: true });
      await Promise.all(answering);
      fifo.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** What an earlier daemon left goes. Whoever waits for it waits in vain: an empty answer tells. */
async function clear(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  });
  const foreign = names.find((name) => !/^(pid|calls)$|[.](call|reply)$/.test(name));
  if (foreign !== undefined)
    throw new EruError(
      'precondition',
      `${folder} is not the network daemon's: ${foreign} is in it; give the daemon a socket in another folder`,
    );
  for (const name of names.filter((one) => one.endsWith('.reply'))) {
    const handle = await open(path.join(folder, name), constants.O_WRONLY | constants.O_NONBLOCK).catch(
      () => undefined,
    );
    await handle?.close();
  }
  await rm(folder, { recursive: true, force: true });
}

async function answerCall(
  folder: string,
  name: string,
  answer: (text: string) => Promise<MailboxAnswer>,
): Promise<void> {
  if (!/^\d+-[A-Za-z0-9_.-]+$/.test(name)) throw new EruError('invalid', `no call is named ${JSON.stringify(name)}`);
  const file = path.join(folder, `${name}.call`);
  const text = await readFile(file, 'utf8');
  await rm(file);
  await reply(path.join(folder, `${name}.reply`), await answer(text));
}

async function reply(file: string, { code, output }: MailboxAnswer): Promise<void> {
  const until = systemClock.monotonic() + readerMs;
  for (;;) {
    try {
      const handle = await open(file, constants.O_WRONLY | constants.O_NONBLOCK);
      try {
        await handle.writeFile(`${code}${output}`);
      } finally {
        await handle.close();
        await rm(file, { force: true });
      }
      return;
    } catch (error) {
      // Nobody reads yet.
      if (!isErrno(error, 'ENXIO') || systemClock.monotonic() > until) throw error;
      await systemClock.sleep(readerPauseMs);
    }
  }
}
