import { constants, openSync } from 'node:fs';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

import type { Logger } from '@eru/kit';
import { EruError, isErrno, runOk, systemClock } from '@eru/kit';

import { mailboxFolder } from './ipam-script.ts';
import type { IpamAnswer, NetworkService } from './service.ts';

/** How long a plugin may take from its call until it reads. */
const readerMs = 5000;
const readerPauseMs = 2;

/**
 * Takes the calls that `ipamScript` leaves: a line in the FIFO `calls` names one, NAME.call holds it (command, container id,
 * interface, arguments, one per line, then the configuration), and NAME.reply gets one digit, the exit code, and the output.
 */
export async function serveIpam(
  service: Pick<NetworkService, 'ipam'>,
  { socket, logger }: { socket: string; logger: Logger },
): Promise<{ close(): Promise<void> }> {
  const folder = mailboxFolder(socket);
  // What plugins of an earlier daemon have left is nobody's any more: they were told, or have given up.
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await runOk('mkfifo', ['-m', '600', path.join(folder, 'calls')]);
  // Read and write, so that it does not end with each writer.
  const fd = openSync(path.join(folder, 'calls'), constants.O_RDWR | constants.O_NONBLOCK);
  const fifo = new Socket({ fd, readable: true, writable: false });
  const answering = new Set<Promise<void>>();
  createInterface({ input: fifo }).on('line', (name) => {
    const answer = answerCall(service, folder, name)
      .catch((error: unknown) => logger.warn({ err: error, name }, 'a call of the IPAM plugin could not be answered'))
      .finally(() => answering.delete(answer));
    answering.add(answer);
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

async function answerCall(service: Pick<NetworkService, 'ipam'>, folder: string, name: string): Promise<void> {
  if (!/^\d+-[A-Za-z0-9_.-]+$/.test(name)) throw new EruError('invalid', `no call is named ${JSON.stringify(name)}`);
  const file = path.join(folder, `${name}.call`);
  const text = await readFile(file, 'utf8');
  await rm(file);
  await reply(path.join(folder, `${name}.reply`), await answerOf(service, text));
}

async function answerOf(service: Pick<NetworkService, 'ipam'>, text: string): Promise<IpamAnswer> {
  const [command = '', containerId = '', ifname = '', args = '', ...rest] = text.split('\n');
  try {
    const config = JSON.parse(rest.join('\n')) as Record<string, unknown>;
    return await service.ipam({ command: command as 'ADD', containerId, ifname, args, config });
  } catch (error) {
    const { message } = EruError.from(error);
    return { code: 1, output: JSON.stringify({ cniVersion: '1.0.0', code: 6, msg: message }) };
  }
}

async function reply(file: string, { code, output }: IpamAnswer): Promise<void> {
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
