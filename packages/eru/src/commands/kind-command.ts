import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';

import type { Context } from '@eru/cli';
import { EruError, nearest, parseConfig } from '@eru/kit';
import { defineKind, NodeFiles, rulesKind, serve, servedKind, type ServedKind } from '@eru/plugins';
import { builtinKinds, type KindDefinition, type Settings } from '@eru/scheduler';
import { z } from 'zod';

export interface KindFlags {
  readonly state?: string;
  readonly config?: string;
  readonly rules?: string;
}

/** What the protocol's plugins end with on any error; the message is on standard error. */
const refused = 128;

/** `eru kind`: one call of the binary plugin protocol. Standard output is the answer and nothing else. */
export async function kindCommand(
  { stdin, stdout, stderr, env }: Context,
  flags: KindFlags,
  kind: string,
  command: string,
): Promise<number> {
  try {
    const served = await findKind(kind, flags, env['ERU_RESOURCE_CONFIG_PATH']);
    const files = await NodeFiles.open(flags.state ?? defaultState(kind));
    const answer = await serve(served, files, command, await text(stdin));
    await new Promise<void>((resolve, reject) => {
      stdout.write(`${answer}\n`, (error) => (error ? reject(error) : resolve()));
    });
    return 0;
  } catch (thrown) {
    stderr.write(`${EruError.from(thrown).message}\n`);
    return refused;
  }
}

/** Next to a kind that is a file; else where the plugin runs, which is the plugin folder. Folders in it are no plugins. */
function defaultState(kind: string): string {
  return path.join(isFile(kind) ? path.dirname(kind) : '.', '.state', path.basename(kind));
}

function isFile(kind: string): boolean {
  return kind.includes('/');
}

async function findKind(kind: string, flags: KindFlags, defaultConfig: string | undefined): Promise<ServedKind> {
  if (!isFile(kind)) return servedKind(builtin(kind), await readSettings(flags.config ?? defaultConfig));
  const name = path.basename(kind);
  if (flags.rules !== undefined) return rulesKind(name, [...flags.rules.split(' ').filter(Boolean), kind]);
  const { amounts } = parseConfig(await readFile(kind, 'utf8'), kind, declaration);
  return servedKind(defineKind({ name, amounts }));
}

/** Names are asked of the kinds themselves, so that a new one appears here by being built in. */
function builtin(name: string): KindDefinition {
  const named = builtinKinds().map((definition) => [servedKind(definition).kind.name, definition] as const);
  const found = named.find(([known]) => known === name);
  if (found !== undefined) return found[1];
  const names = named.map(([known]) => known);
  const near = nearest(name, names);
  throw new EruError(
    'invalid',
    `kind ${name}: not built in; ${near === undefined ? `there are ${names.join(', ')}.` : `did you mean ${near}?`} A kind that is a file needs its path: ./${name}`,
  );
}

/** A file of core's form, or of a plugin's: only `scheduler` is read, everything else belongs to others. */
async function readSettings(file: string | undefined): Promise<Partial<Settings>> {
  if (file === undefined) return {};
  const { scheduler } = parseConfig(await readFile(file, 'utf8'), file, config);
  return {
    ...(scheduler?.sharebase === undefined ? {} : { shareBase: scheduler.sharebase }),
    ...(scheduler?.maxshare === undefined ? {} : { maxShare: scheduler.maxshare }),
    ...(scheduler?.max_deploy_count === undefined ? {} : { maxDeployCount: scheduler.max_deploy_count }),
  };
}

const config = z.looseObject({
  scheduler: z
    .strictObject({
      maxshare: z.int().min(-1).optional(),
      sharebase: z.int().min(1).optional(),
      max_deploy_count: z.int().min(1).optional(),
    })
    .optional(),
});

const declaration = z.strictObject({
  amounts: z
    .record(
      z.string().min(1),
      z
        .strictObject({ help: z.string().optional(), default: z.union([z.number(), z.string()]).optional() })
        .nullable()
        .transform((amount) => amount ?? {}),
    )
    .refine((amounts) => Object.keys(amounts).length > 0, 'name at least one amount'),
});
