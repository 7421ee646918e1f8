import { pb } from '@eru/contract';
import type { Clock } from '@eru/kit';
import { EruError, isEruError } from '@eru/kit';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import { say, write } from '../output.ts';
import { refuse } from '../spec/values.ts';
import * as values from '../spec/values.ts';
import { findWorkload, listWorkloads } from '../workloads.ts';

interface LogFlags {
  follow?: boolean;
  tail?: string;
  since?: string;
  until?: string;
}

/** The workload's own bytes, each on its own stream. Following goes on over restarts of the workload and of core. */
export async function logs(context: Context, flags: LogFlags, word: string): Promise<number> {
  const { follow = false, tail = 'all', since = '', until = '' } = flags;
  values.flagged('--tail', tailCount, tail);
  for (const [flag, value] of Object.entries({ '--since': since, '--until': until }))
    if (value !== '') values.flagged(flag, moment, value);
  return withConnection(context, async (connection) => {
    const { record } = await findWorkload(connection, word, context.signal);
    const id = record?.id ?? '';
    const request = { id, tail, since, until, follow };
    try {
      if (follow) await followLogs(context, connection, request);
      else await copyLogs(context, connection, request);
    } catch (error) {
      // Ctrl-C is how one stops following.
      if (!follow || !context.signal.aborted) throw error;
    }
    return exitCodes.ok;
  });
}

interface LogRequest {
  id: string;
  tail: string;
  since: string;
  until: string;
  follow: boolean;
}

async function copyLogs(context: Context, { core }: Connection, request: LogRequest): Promise<void> {
  for await (const { data, error, stdStreamType } of core.logStream(request, { signal: context.signal })) {
    if (error !== '') throw new EruError('failed', `logs: ${error}`);
    await write(stdStreamType === pb.StdStreamType.STDERR ? context.stderr : context.stdout, data);
  }
}

/** A stream that ends while the workload is still there was cut by core or its node: it is taken up where it ended. */
async function followLogs(context: Context, connection: Connection, request: LogRequest): Promise<void> {
  const { clock, signal } = context;
  let next = request;
  for (;;) {
    const broken = await copyLogs(context, connection, next).catch((error: unknown) => error);
    const cutAt = clock.now();
    if (broken !== undefined && !isEruError(broken, 'unavailable')) throw broken;
    if (broken !== undefined) say(context, 'eru: the connection was lost; going on when core is back');
    if (!(await isThere(connection, request.id, clock, signal))) return;
    next = { ...request, tail: 'all', since: new Date(cutAt).toISOString() };
    await clock.sleep(retryMs, signal);
  }
}

const retryMs = 500;

/** Waits for core to be back, and for what is being done to the workload, which may be its removal. */
async function isThere(connection: Connection, id: string, clock: Clock, signal: AbortSignal): Promise<boolean> {
  for (;;) {
    try {
      const [found] = await listWorkloads(connection, { words: [id] }, signal);
      if (found === undefined) return false;
      if (found.operation === '') return true;
    } catch (error) {
      if (isEruError(error, 'not_found')) return false;
      if (!isEruError(error, 'unavailable')) throw error;
    }
    await clock.sleep(retryMs, signal);
  }
}

function tailCount(value: unknown): string {
  if (typeof value === 'string' && /^(all|\d+)$/.test(value)) return value;
  throw refuse(value, 'write a number of lines, or all');
}

function moment(value: unknown): string {
  const written = values.text(value);
  if (/^\d{4}-\d\d-\d\d/.test(written) && !Number.isNaN(Date.parse(written))) return written;
  if (/^(\d+(\.\d+)?|(\d+(\.\d+)?(ms|s|m|h))+)$/.test(written)) return written; // seconds since 1970, or how long ago
  throw refuse(value, 'write a time such as 2026-01-02T13:23:37, or how long ago, such as 42m');
}
