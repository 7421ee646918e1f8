import { pb, type MessageInitShape } from '@eru/contract';
import { EruError } from '@eru/kit';
import { stat } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';

import { parseBuildSpec } from '../spec/build-spec.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { colorsFor, say, show, write } from '../output.ts';
import { Progress } from '../show/progress.ts';
import { load } from '../spec/spec-file.ts';
import { ended, outputOf, startTar } from '../tar.ts';
import * as values from '../spec/values.ts';
import { findWorkload } from '../workloads.ts';

export interface BuildFlags {
  name: string;
  tag?: string[];
  raw?: boolean;
  exist?: boolean;
  user?: string;
  uid?: string;
  stopSignal?: string;
  platform?: string;
}

type Request = MessageInitShape<typeof pb.BuildImageOptionsSchema>;

/** What the largest request may have (reference/core-rpc.md, `tar`). */
const mostBytes = 20 * 2 ** 20;

/** Builds from a build spec, a folder with a Dockerfile (`--raw`) or a workload (`--exist`), and shows what the builder says. */
export async function buildImage(context: Context, flags: BuildFlags, source: string): Promise<number> {
  const asked = await requestOf(context, flags, source);
  return withConnection(context, async (connection) => {
    const { core } = connection;
    const request =
      flags.exist === true
        ? { ...asked, existId: (await findWorkload(connection, source, context.signal)).record?.id ?? '' }
        : asked;
    const references: string[] = [];
    const progress = new Progress(context);
    let exitCode: number = exitCodes.ok;
    // Standard output has the data: in the formats for programs that is what was built.
    const console = context.globals.output === 'table' ? context.stdout : context.stderr;
    for await (const message of core.buildImage(request, { signal: context.signal })) {
      const { id, status, progress: bar, stream, error, errorDetail } = message;
      if (status === 'finished') references.push(bar);
      else if (id !== '' && status !== '') progress.set(id, bar === '' ? status : `${status} ${bar}`);
      else if (status !== '') await write(console, `${status}\n`);
      await write(console, stream);
      if (error === '') continue;
      say(context, colorsFor(context.stderr, context.env).red(`Build failed: ${error}`));
      exitCode = exitOf(errorDetail?.code ?? 0n);
    }
    progress.close();
    if (exitCode === exitCodes.ok && context.globals.output === 'table')
      await write(console, `build image ${flags.name} complete\n`);
    else if (context.globals.output !== 'table')
      await show(context, references, {
        plain: (all) => ({ references: all }),
        name: (all) => all.join('\n'),
        table: () => '',
      });
    return exitCode;
  });
}

/** The builder's own, where a process can end with it. */
function exitOf(code: bigint): number {
  return code > 0n && code < 256n ? Number(code) : exitCodes.someFailed;
}

async function requestOf(context: Context, flags: BuildFlags, source: string): Promise<Request> {
  const { name, tag: tags = ['latest'], raw = false, exist = false, user = '', platform = '' } = flags;
  if (raw && exist) throw new EruError('invalid', '--raw and --exist: give one of them');
  const uid =
    flags.uid === undefined ? 0 : values.flagged('--uid', values.integer(1, 'a user id from 1 on'), flags.uid);
  if ((user === '') !== (uid === 0))
    throw new EruError('invalid', '--user and --uid go together; give both, or neither');
  const request = { name, tags, user, uid, platform };
  const BuildMethod = pb.BuildImageOptions_BuildMethod;
  if (exist) return { ...request, buildMethod: BuildMethod.EXIST };
  if (raw) return { ...request, buildMethod: BuildMethod.RAW, tar: await packed(context, source) };
  const { text } = await load(context, source);
  const { stages, builds } = parseBuildSpec(text, source === '-' ? 'standard input' : source, context.env);
  const stopSignal = (given: string): string => flags.stopSignal ?? given;
  return {
    ...request,
    buildMethod: BuildMethod.SCM,
    builds: {
      stages,
      builds: Object.fromEntries(
        Object.entries(builds).map(([stage, { stop_signal, ...build }]) => [
          stage,
          { ...build, stopSignal: stopSignal(stop_signal) },
        ]),
      ),
    },
  };
}

async function packed(context: Context, folder: string): Promise<Uint8Array> {
  const found = await stat(folder).catch(() => undefined);
  if (found?.isDirectory() !== true)
    throw new EruError('invalid', `${folder}: --raw needs a folder with a Dockerfile in it`);
  if ((await stat(`${folder}/Dockerfile`).catch(() => undefined)) === undefined)
    throw new EruError('invalid', `${folder}: there is no Dockerfile in it`);
  const tar = startTar(['-c', '-f', '-', '-C', folder, '.']);
  const [archive] = await Promise.all([buffer(outputOf(tar)), ended(tar, context)]);
  if (archive.length > mostBytes)
    throw new EruError(
      'invalid',
      `${folder}: ${Math.ceil(archive.length / 2 ** 20)} MiB are more than the ${mostBytes / 2 ** 20} MiB of a request; leave out what the image does not need, or build from a repository`,
    );
  return archive;
}
