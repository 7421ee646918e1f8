import { readIfExists, runOk } from '@eru/kit';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';

import { LogSpool } from '../logs/log-spool.ts';
import { exitFile, spawnDetached, supervisorFile, type Supervisor } from './supervisor.ts';
import type { Place } from './launcher.ts';
import { plainWords } from './runc.ts';

/** Says its pid, runs the command, keeps its exit code. What the shell itself would say (`Killed`) is not the command's. */
const supervise =
  'echo $$ > "$1"; code=$2; shift 2; exec 3>&2 2>/dev/null; (exec 2>&3 3>&-; exec "$@"); echo $? > "$code.tmp"; mv "$code.tmp" "$code"';

/** A shell of two commands. The output goes to plain files, which the daemon takes over into the log. */
export const shellSupervisor: Supervisor = {
  kind: 'shell',

  async launch(place, launcher, limits) {
    const { words, env } = await launcher.prepare(place, limits);
    const outputs = [path.join(spool(place), 'stdout'), path.join(spool(place), 'stderr')] as const;
    await mkdir(spool(place));
    const shell = ['/bin/sh', '-c', supervise, 'eru-supervisor', supervisorFile(place), exitFile(place)];
    const input = place.record.spec.stdin ? inputPipe(place) : undefined;
    if (input !== undefined) await runOk('mkfifo', ['-m', '600', input]);
    await spawnDetached(
      { words: [...shell, ...words], env },
      { cwd: '/', outputs, ...(input !== undefined && { input }) },
    );
  },

  resume: () => Promise.resolve(), // It goes on by itself.

  output: (place, { limits, now }) =>
    new LogSpool({
      folder: spool(place),
      log: place.folder.log,
      limits,
      now,
      fallocate: place.machine.tools.fallocate,
    }),
};

/** The last line that a launch has printed. */
export async function complaintOf(place: Place): Promise<string> {
  const text = (await readIfExists(path.join(spool(place), 'stderr')))?.trim() ?? '';
  return text === '' ? 'it said nothing' : plainWords(text.split('\n').at(-1) ?? '');
}

/** What an open stdin is read from. */
export function inputPipe({ folder }: Place): string {
  return path.join(folder.run, 'stdin');
}

function spool({ folder }: Place): string {
  return path.join(folder.run, 'output');
}
