import type { MessageInitShape, pb, ServiceHandlers } from '@eru/contract';
import { streamTar } from '@eru/engines';
import { EruError, invalid, toSafeNumber } from '@eru/kit';
import path from 'node:path';

import type { FileContent } from '../../operations/spec-of.ts';
import { workOn, type Work } from '../../operations/work.ts';
import { concurrency, type Edge } from '../edge.ts';
import { Branch, finish, giveAll, uploaded } from '../fan-out.ts';
import { archiveOf } from '../reading.ts';
import { takingTurns } from './taking-turns.ts';
import { outcomes } from './workload-methods.ts';

type CopyMessage = MessageInitShape<typeof pb.CopyMessageSchema>;
type SendMessage = MessageInitShape<typeof pb.SendMessageSchema>;
type FileOwnership = Omit<FileContent, 'contents'>;

/** The original's clients expect no larger pieces. */
const pieceBytes = 4096;
/** A pause of one workload after which the others go on. */
const patienceMs = 1000;

export function fileMethods(edge: Edge): ServiceHandlers<typeof pb.CoreRPC> {
  const { context, membership } = edge;
  const { clock, logger, limits } = context;
  const pace = { clock, idleMs: limits.transferIdleMs };
  return {
    /** A file is a tar of itself; the messages of one path follow each other. What fails is a message of its path. */
    copy: ({ targets }, { signal }) => {
      if (Object.keys(targets).length === 0) throw new EruError('invalid', 'no files to copy');
      const sources = Object.entries(targets).map(async function* ([id, { paths }]): AsyncIterable<CopyMessage> {
        for (const one of paths) yield* copied(edge, id, one, signal);
      });
      return takingTurns(sources, { clock, patienceMs, width: concurrency });
    },

    /** Workloads side by side, the files of one in turn. Of an empty file the original's clients are told only when it fails. */
    send: ({ IDs, data, modes, owners }, { signal }) => {
      const tenure = membership.current();
      const files = Object.entries(data);
      return outcomes(files.length === 0 ? [] : [...new Set(IDs)], async (id, tell: (message: SendMessage) => void) => {
        const work: Work = async (engine, until) => {
          for (const [target, contents] of files) {
            const error = await textOf(async () => {
              const file = { ...ownership(modes[target], owners[target]), size: contents.length };
              await engine.copyTo(id, '/', streamTar(entryName(target), file, once(contents)), { signal: until });
            });
            if (error !== '' || contents.length > 0) tell({ id, path: target, error });
          }
        };
        const error = await textOf(() =>
          workOn(context, tenure, { id, kind: 'send', what: files.map(([name]) => name).join(' '), work }, signal),
        );
        if (error !== '') for (const _file of files) tell({ id, error });
      });
    },

    /**
     * One file for many, as fast as those take it that keep up. Everything is told after the client has half-closed: what its
     * chunks come to is not known before.
     */
    sendLargeFile: async function* (requests, { signal }): AsyncIterable<SendMessage> {
      const tenure = membership.current();
      const targets = new Map<string, Target>();
      const begin = (id: string, first: pb.FileOptions): Target => {
        const target = new Target(id, first.dst);
        targets.set(id, target);
        const work: Work = async (engine, until) => {
          target.found = true;
          const file = { ...ownership(first.mode, first.owner), size: sizeOf(first.size) };
          const archive = streamTar(entryName(first.dst), file, target.branch.pieces);
          await engine.copyTo(id, '/', archive, { signal: until, timeoutMs: Number.POSITIVE_INFINITY });
        };
        const until = AbortSignal.any([signal, target.branch.signal]);
        target.error = textOf(() => workOn(context, tenure, { id, kind: 'send', what: first.dst, work }, until));
        void target.error.then(() => target.branch.pieces.return());
        return target;
      };
      let over = false;
      try {
        for await (const chunk of uploaded(requests, pace)) {
          if (over) continue;
          over = chunk.ids.length === 0 || chunk.chunk.length === 0;
          if (over) logger.warn({ dst: chunk.dst }, 'a chunk of a large file without ids or bytes ends it');
          const named = over ? [] : [...new Set(chunk.ids)].map((id) => targets.get(id) ?? begin(id, chunk));
          for (const { branch, dst } of named)
            if (dst !== chunk.dst)
              branch.fail(new EruError('invalid', `one file per stream: it began with ${dst}, then came ${chunk.dst}`));
          await giveAll(
            chunk.chunk,
            named.map(({ branch }) => branch),
            pace,
          );
        }
        for (const { branch, error } of targets.values()) finish(branch, error, pace);
        yield* outcomes(
          [...targets.values()],
          async (target, tell: (message: SendMessage) => void) => {
            const error = await target.error;
            tell({ id: target.id, path: target.found ? target.dst : '', error });
          },
          targets.size || 1,
        );
      } finally {
        const left = new EruError('canceled', 'the stream ended before the file was whole');
        for (const { branch } of targets.values()) if (branch.live) branch.fail(left);
      }
    },
  };
}

/** One workload that a large file is for. */
class Target {
  readonly id: string;
  readonly dst: string;
  readonly branch = new Branch();
  /** It is known and was not busy. */
  found = false;
  /** Empty when the file is there. */
  error: Promise<string> = Promise.resolve('');

  constructor(id: string, dst: string) {
    this.id = id;
    this.dst = dst;
  }
}

async function* copied({ context }: Edge, id: string, from: string, signal: AbortSignal): AsyncIterable<CopyMessage> {
  const message = { id, name: path.posix.basename(from), path: from };
  try {
    for await (const piece of archiveOf(context, id, from, signal))
      for (let at = 0; at < piece.length; at += pieceBytes)
        yield { ...message, data: piece.subarray(at, at + pieceBytes) };
  } catch (error) {
    if (!signal.aborted) yield { ...message, error: EruError.from(error).message };
  }
}

/** Where a file goes, as a name below the root. */
function entryName(target: string): string {
  const name = target.replace(/^\/+/, '');
  if (!path.posix.isAbsolute(target) || name === '' || target.endsWith('/'))
    throw invalid('path', target, 'give the absolute path of a file');
  return name;
}

/** Nothing given at all is a file that everybody may read and run (reference/core-rpc.md section 4.12). */
function ownership(mode: { mode: bigint } | undefined, owner: { uid: number; gid: number } | undefined): FileOwnership {
  const { uid = 0, gid = 0 } = owner ?? {};
  const bits = mode?.mode ?? 0n;
  if (bits < 0n || bits > 0o7777n) throw invalid('mode', bits, 'modes go from 0 to 4095 (octal 7777)');
  for (const [field, value] of Object.entries({ uid, gid }))
    if (value < 0) throw invalid(field, value, 'give a number from 0');
  return { uid, gid, mode: bits === 0n && uid === 0 && gid === 0 ? 0o755 : Number(bits) };
}

function sizeOf(size: bigint): number {
  const bytes = toSafeNumber(size, 'size');
  if (bytes < 0) throw invalid('size', size, 'give the size of the file in bytes');
  return bytes;
}

async function* once(contents: Uint8Array): AsyncIterable<Uint8Array> {
  if (contents.length > 0) yield contents;
}

async function textOf(work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return '';
  } catch (error) {
    return EruError.from(error).message || 'failed';
  }
}
