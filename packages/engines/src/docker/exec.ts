import { backoff, EruError, systemClock } from '@eru/kit';
import { randomBytes } from 'node:crypto';

import type { ExecSpec, Session } from '../engine.ts';
import { unbegunCode } from '../unbegun-code.ts';
import { isOf } from './enforced-limits.ts';
import type { Spoken } from './frames.ts';
import type { DockerHttp } from './http-client.ts';
import { refusalOf } from './refusal.ts';
import { DockerSession } from './session.ts';

interface ExecState {
  Running: boolean;
  ExitCode: number | null;
  Pid: number;
}

/** Marks the processes of one exec in a container of another machine: only so they can be found from inside. */
const markName = 'ERU_EXEC';

const endMarked = `for e in /proc/[0-9]*/environ; do
  grep -q "${markName}=$1" "$e" 2>/dev/null && p=\${e#/proc/} && kill -9 "\${p%%/*}"
done`;

/** How often a command is asked about whose output has ended. */
const ask = { baseMs: 20, maxMs: 1000 };

/** A command in a running container. `closed` ends what is asked after the opening. */
export async function execIn(
  http: DockerHttp,
  local: boolean,
  id: string,
  { command, env, dir, user, stdin, tty, size }: ExecSpec,
  signal: AbortSignal,
  closed: AbortSignal,
): Promise<Session> {
  const mark = randomBytes(8).toString('hex');
  const { Id: exec } = await http.json<{ Id: string }>({
    method: 'POST',
    path: `/containers/${id}/exec`,
    json: {
      Cmd: command,
      Env: local ? env : [...env, `${markName}=${mark}`],
      WorkingDir: dir,
      User: user,
      AttachStdin: stdin,
      AttachStdout: true,
      AttachStderr: true,
      Tty: tty,
    },
    signal,
  });
  const inspect = (): Promise<ExecState> =>
    http.json<ExecState>({ method: 'GET', path: `/exec/${exec}/json`, signal: closed });
  const resize = async ({ rows, cols }: { rows: number; cols: number }): Promise<void> => {
    const query = { h: rows, w: cols };
    await http.json({ method: 'POST', path: `/exec/${exec}/resize`, query, signal: closed });
  };
  const connection = await http.hijack({
    method: 'POST',
    path: `/exec/${exec}/start`,
    headers: { connection: 'Upgrade', upgrade: 'tcp' },
    json: { Detach: false, Tty: tty, ...(tty && size !== undefined && { ConsoleSize: [size.rows, size.cols] }) },
    signal,
  });
  let unbegun: number | undefined;
  let refused: EruError | undefined;
  /** The daemon hands the streams over before the process stands. */
  const begun = async (): Promise<ExecState> => {
    for (let times = 1; ; times++) {
      const state = await inspect();
      if (state.Pid !== 0 || state.ExitCode !== null) return state;
      await systemClock.sleep(backoff(times, ask), closed);
    }
  };
  if (tty && size !== undefined)
    await begun()
      .then(() => resize(size))
      .catch(() => {}); // It may have ended.
  return new DockerSession(
    connection,
    { stdin, tty },
    {
      first: async (words) => {
        const complaint = complaintIn(words);
        if (complaint === undefined || (await begun()).Pid !== 0) return words;
        const refusal = refusalOf(500, complaint);
        if (refusal.code === 'unavailable') throw (refused = refusal);
        unbegun = unbegunCode(complaint);
        return { stream: tty ? 'stdout' : 'stderr', data: Buffer.from(`${complaint}\n`) };
      },
      exit: async () => {
        if (refused !== undefined) throw refused;
        for (let times = 1; ; times++) {
          const { Running, ExitCode } = await inspect();
          if (!Running && ExitCode !== null) return unbegun ?? ExitCode;
          if (!Running) throw new EruError('unavailable', 'docker lost the command before it began');
          await systemClock.sleep(backoff(times, ask), closed);
        }
      },
      resize,
      end: async () => {
        const { Running, Pid } = await begun();
        if (!Running) return;
        if (local && isOf(id, Pid)) process.kill(Pid, 'SIGKILL');
        else await endInside(http, id, user, mark, closed);
      },
    },
  );
}

/** The reason in words that a daemon may have said in place of the command, as its output: why it could not begin. */
function complaintIn({ data }: Spoken): string | undefined {
  const words = data.toString().trimEnd();
  const ofRuntime =
    /^OCI runtime exec failed: (?:exec failed: )?(?:unable to start container process: )?(.*?)(?:: unknown)?$/s;
  return ofRuntime.exec(words)?.[1] ?? (refusalOf(500, words).code === 'unavailable' ? words : undefined);
}

/** Ends it with the means of its container, which needs a shell for this. */
async function endInside(http: DockerHttp, id: string, user: string, mark: string, signal: AbortSignal): Promise<void> {
  const json = { Cmd: ['/bin/sh', '-c', endMarked, 'sh', mark], User: user };
  const { Id } = await http.json<{ Id: string }>({ method: 'POST', path: `/containers/${id}/exec`, json, signal });
  await http.json({ method: 'POST', path: `/exec/${Id}/start`, json: { Detach: true, Tty: false }, signal });
}
