import { childEnvironment, EruError, run } from '@eru/kit';
import path from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

import { ConmonLog } from '../logs/conmon-log.ts';
import { pidFile, type Place } from './launcher.ts';
import { currentLog } from '../logs/log-files.ts';
import { plainWords, runcWords } from './runc.ts';
import { isBeingLaunched, readExit, spawnDetached, supervisorFile, type Supervisor } from './supervisor.ts';

/** How long a container may take to be made. */
const createMs = 30_000;

/**
 * conmon above runc: it makes the container, writes the log with the time of each line, sees the out-of-memory killer, and
 * keeps the exit code. Two steps: it creates, then we start.
 */
export const conmonSupervisor: Supervisor = {
  kind: 'conmon',

  async launch(place, launcher, limits) {
    await launcher.prepare(place, limits);
    await create(place);
    await start(place);
  },

  async resume(place) {
    // A container that is still being made is seen once runc has written its pid.
    for (let waited = 0; waited < createMs && isBeingLaunched(place); waited += 20) {
      const status = await statusOf(place);
      if (status === 'created') return start(place);
      if (status !== '' && status !== 'creating') return;
      if ((await readExit(place)) !== undefined) return;
      await sleep(20);
    }
  },

  output: ({ folder }, { limits }) => new ConmonLog(folder, limits),
};

/** What conmon is told of a container. */
export interface Container {
  conmon: string;
  runc: string;
  runcRoot: string;
  id: string;
  name: string;
  /** Also where conmon leaves its own files. */
  bundle: string;
  pidFile: string;
  supervisorFile: string;
  /** Where the exit code is written, in a file with the name of the id. */
  exitFolder: string;
  log: string;
}

/** Resolves when the container is there and its command waits to be let go. */
export async function createContainer(container: Container): Promise<void> {
  const { conmon, runc, runcRoot, id, name, bundle, pidFile, supervisorFile, exitFolder, log } = container;
  const complaints = path.join(bundle, 'conmon.err');
  const options = {
    cid: id,
    cuuid: id,
    name,
    runtime: runc,
    bundle,
    'container-pidfile': pidFile,
    'conmon-pidfile': supervisorFile,
    'exit-dir': exitFolder,
    'persist-dir': bundle,
    'log-path': `k8s-file:${log}`,
  };
  const pairs = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]);
  const words = [
    conmon,
    ...pairs,
    '--full-attach',
    '--no-sync-log',
    '--runtime-arg',
    '--root',
    '--runtime-arg',
    runcRoot,
  ];
  const env = { ...childEnvironment(), _OCI_SYNCPIPE: '3' };
  const child = await spawnDetached(
    { words, env },
    // It leaves its note of an out-of-memory kill where it was started.
    { cwd: bundle, outputs: [complaints, complaints], more: ['pipe'] },
  );
  const { pid, message } = parse(await firstLine(child.stdio[3] as Readable));
  if (pid <= 0) throw new EruError('failed', `${name} did not start: ${message}`);
}

async function create(place: Place): Promise<void> {
  const { machine, folder, record, runcRoot } = place;
  const { conmon, runc } = machine;
  if (conmon === undefined || runc === undefined)
    throw new EruError('precondition', 'conmon cannot be used on this node any more');
  await createContainer({
    conmon,
    runc,
    runcRoot,
    id: record.id,
    name: record.spec.name,
    bundle: folder.run,
    pidFile: pidFile(folder),
    supervisorFile: supervisorFile(place),
    exitFolder: folder.exit,
    log: path.join(folder.log, currentLog),
  });
}

async function start(place: Place): Promise<void> {
  const [program = '', ...args] = runcWords(place, 'start', place.record.id);
  const { code, stderr } = await run(program, args);
  // One that was let go and has ended is found by its exit file.
  if (code === 0 || (await readExit(place)) !== undefined) return;
  throw new EruError('failed', `${place.record.spec.name} did not start: ${plainWords(stderr)}`);
}

/** `creating`, `created`, `running`, `stopped`; empty when runc knows nothing of it. */
async function statusOf(place: Place): Promise<string> {
  const [program = '', ...args] = runcWords(place, 'state', place.record.id);
  const { code, stdout } = await run(program, args);
  return code === 0 ? (JSON.parse(stdout) as { status: string }).status : '';
}

/** conmon's word on its pipe: `{"pid": 12}`, or -1 with what the runtime said. */
function parse(answer: string): { pid: number; message: string } {
  if (answer === '') return { pid: -1, message: 'conmon ended without a word' };
  const { pid, data, message = '' } = JSON.parse(answer) as { pid?: number; data?: number; message?: string };
  return { pid: pid ?? data ?? -1, message: plainWords(message.trim().split('\n').at(-1) ?? '') };
}

async function firstLine(pipe: Readable): Promise<string> {
  let text = '';
  const limit = setTimeout(() => pipe.destroy(new EruError('timeout', 'conmon gave no word in time')), createMs);
  try {
    for await (const chunk of pipe) {
      text += String(chunk);
      if (text.includes('\n')) break;
    }
    return text.trim();
  } finally {
    clearTimeout(limit);
    pipe.destroy();
  }
}
