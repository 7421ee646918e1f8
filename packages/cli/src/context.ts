import type { Clock } from '@eru/kit';
import type { Readable, Writable } from 'node:stream';

/** What a command may touch of the world; tests give their own. */
export interface Shell {
  version: string;
  stdin: Input;
  stdout: Output;
  stderr: Output;
  env: Readonly<Record<string, string | undefined>>;
  /** Aborts when the user wants to stop (Ctrl-C, TERM). A second Ctrl-C should find no handler. */
  signal: AbortSignal;
}

export type Input = Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown };
export type Output = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** A shell with the global options, which may stand before or after the command's name. */
export interface Context extends Shell {
  globals: Globals;
  clock: Clock;
}

export interface Globals {
  /** Absolute folder that holds everything of an Eru on this machine. */
  data: string;
  /** As given; absent = found in the data folder. */
  eru?: string;
  username?: string;
  password?: string;
  token?: string;
  /** Files; any of them means TLS. */
  tls?: { ca?: string; cert?: string; key?: string };
  output: OutputFormat;
}

export const outputFormats = ['table', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** What a process ends with (issue "Eru stands up", fixed for scripts). `exec` ends with the remote code instead. */
export const exitCodes = {
  ok: 0,
  someFailed: 1,
  usage: 2,
  noCapacity: 3,
  notFound: 4,
  unreachable: 5,
  interrupted: 130,
} as const;
