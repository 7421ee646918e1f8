import { EruError } from '@eru/kit';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { Outcomes } from '../show/outcomes.ts';
import * as values from '../spec/values.ts';
import { splitWord } from '../workload-path.ts';
import { findWorkloads } from '../workloads.ts';

const chunkBytes = 256 * 1024;

/** One file to many at once. The path stands behind the last word, and counts for all that have none of their own. */
export async function send(
  context: Context,
  flags: { mode?: string; owner: string },
  file: string,
  targets: string[],
): Promise<number> {
  const last = splitWord(targets.at(-1) ?? '');
  if (last === undefined)
    throw new EruError('invalid', 'missing path; write: eru send <file> <workload>... <workload>:/absolute/path');
  const dst = last.path.endsWith('/') ? last.path + path.basename(file) : last.path;
  const words = targets.map((target) => splitWord(target) ?? { word: target, path: last.path });
  const other = words.find((one) => one.path !== last.path);
  if (other !== undefined)
    throw new EruError('invalid', `${other.word}:${other.path}: one send has one path, and ${last.path} is another`);
  const { size, mode: ownMode } = await fileAt(file);
  const mode = {
    mode: BigInt(flags.mode === undefined ? ownMode & 0o7777 : values.flagged('--mode', octal, flags.mode)),
  };
  const owner = values.flagged('--owner', ownerOf, flags.owner);
  return withConnection(context, async ({ core, eru }) => {
    const { signal } = context;
    const found = await findWorkloads(
      { core, eru },
      words.map(({ word }) => word),
      signal,
    );
    const outcome = new Outcomes(context, found, `has ${dst}`);
    const ids = found.map(({ record }) => record?.id ?? '');
    if (size === 0) {
      // A file without bytes has no chunks; of it only failures are told.
      const failed = new Map<string, string>();
      const request = { IDs: ids, data: { [dst]: new Uint8Array() }, modes: { [dst]: mode }, owners: { [dst]: owner } };
      for await (const { id, error } of core.send(request, { signal })) failed.set(id, error);
      for (const id of ids) outcome.tell(id, failed.get(id) ?? '');
      return outcome.end();
    }
    const chunks = async function* () {
      for await (const chunk of createReadStream(file, { highWaterMark: chunkBytes, end: size - 1 }))
        yield { ids, dst, size: BigInt(size), mode, owner, chunk: chunk as Buffer };
    };
    for await (const { id, error } of core.sendLargeFile(chunks(), { signal })) outcome.tell(id, error);
    return outcome.end();
  });
}

function octal(text: unknown): number {
  if (typeof text !== 'string' || !/^[0-7]{1,4}$/.test(text))
    throw values.refuse(text, 'write an octal mode such as 0644');
  return Number.parseInt(text, 8);
}

function ownerOf(text: unknown): { uid: number; gid: number } {
  const [, uid, gid] = /^(\d{1,9}):(\d{1,9})$/.exec(String(text)) ?? [];
  if (uid === undefined) throw values.refuse(text, 'write numbers such as 1000:1000');
  return { uid: Number(uid), gid: Number(gid) };
}

async function fileAt(file: string): Promise<{ size: number; mode: number }> {
  try {
    const found = await stat(file);
    if (found.isFile()) return found;
  } catch (cause) {
    throw new EruError('invalid', `${file}: ${(cause as Error).message}`, { cause });
  }
  throw new EruError('invalid', `${file}: is no regular file; eru cp takes folders`);
}
