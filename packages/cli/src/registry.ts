import type { Command } from 'commander';

import type { Context } from './context.ts';

/** Arguments come in the order in which the command declares them. Answers the exit code; undefined is 0. */
export type Action<Args extends unknown[], Options> = (
  context: Context,
  options: Options,
  ...args: Args
) => Promise<number | undefined>;

/** Where commands are declared. Nothing heavy is loaded for it: actions import what they need when they run. */
export interface Registry {
  readonly program: Command;
  /** A new command. `usage` as commander writes it: `deploy <file>`. */
  readonly command: (usage: string, description: string, parent?: Command) => Command;
  /** What a command does. Errors become messages and exit codes. */
  readonly run: <Args extends unknown[], Options>(command: Command, action: Action<Args, Options>) => void;
}

/** Repeated options; a comma is a part of the value. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}
