import { Command, CommanderError, Help, Option } from 'commander';
import path from 'node:path';

import { addClusterCommands, addCoreCommands } from './cluster-commands.ts';
import type { Context, Globals, OutputFormat, Shell } from './context.ts';
import { exitCodes, outputFormats } from './context.ts';
import { defaultDataFolder } from './data-folder.ts';
import type { Registry } from './registry.ts';
import { addWorkloadCommands } from './workload-commands.ts';

export interface ProgramOptions extends Shell {
  /** The commands of the composition root (`up`, `down`, `core`, `agent`, `runtime`), in this order at the end of the help. */
  extend?: (registry: Registry) => void;
}

interface Program {
  readonly command: Command;
  /** Parses and runs; answers the exit code and never throws. */
  run(argv: readonly string[]): Promise<number>;
}

/** The `eru` command tree. `argv` of `run` is without the program's own name. */
function createProgram({ extend, ...shell }: ProgramOptions): Program {
  let exitCode: number = exitCodes.ok;
  const program = new Command('eru');
  const command = (usage: string, description: string, parent: Command = program): Command =>
    parent.command(usage).description(description);
  const registry: Registry = {
    program,
    command,
    run: (target, action) => {
      target.action(async (...given: unknown[]) => {
        const { systemClock } = await import('@eru/kit');
        const context: Context = { ...shell, globals: globalsOf(target, shell), clock: systemClock };
        // Commander passes the declared arguments, then the options, then the command.
        const run = action as (...given: unknown[]) => Promise<number | undefined>;
        exitCode = (await run(context, target.opts(), ...given.slice(0, -2))) ?? exitCodes.ok;
      });
    },
  };
  configure(program, shell);
  program.commandsGroup('Workloads:');
  addWorkloadCommands(registry);
  program.commandsGroup('Cluster:');
  addClusterCommands(registry);
  program.commandsGroup('Eru itself:');
  extend?.(registry);
  addCoreCommands(registry);
  addHelpCommand(registry);
  addGlobals(program);
  return {
    command: program,
    run: async (argv) => {
      try {
        await program.parseAsync([...argv], { from: 'user' });
        return exitCode;
      } catch (error) {
        // Whoever read has left (`eru ps | head -1`): nothing is wrong, and nobody is there to be told.
        const { isErrno } = await import('@eru/kit');
        return isErrno(shell.signal.reason, 'EPIPE') ? exitCodes.ok : report(error, shell);
      }
    },
  };
}

/** Parses, runs, and answers the exit code. Ends early when standard output is closed (`eru ps | head -1`). */
export async function runCli(argv: readonly string[], options: ProgramOptions): Promise<number> {
  const closed = new AbortController();
  const onError = (error: NodeJS.ErrnoException): void => {
    if (error.code !== 'EPIPE') throw error;
    closed.abort(error);
  };
  options.stdout.on('error', onError);
  try {
    const program = createProgram({ ...options, signal: AbortSignal.any([options.signal, closed.signal]) });
    return await program.run(argv);
  } finally {
    options.stdout.off('error', onError);
  }
}

function configure(program: Command, { version, stdout, stderr }: Shell): void {
  program
    .description('Runs processes and containers on a fleet of Linux machines.')
    .version(version, '-V, --version', 'print the version')
    .enablePositionalOptions()
    .showHelpAfterError('(add --help for what is allowed)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => stdout.columns ?? 100,
      getErrHelpWidth: () => stderr.columns ?? 100,
      outputError: (text, write) => write(text.replace(/^error: /, 'eru: ')),
    })
    .configureHelp({ formatHelp: globalsLast })
    .addHelpText(
      'after',
      '\nWords are names, ids or the beginning of ids. Exit codes: 0 ok, 1 some item failed, 2 usage, 3 no capacity,\n4 not found, 5 unreachable or refused; exec ends with the code of its command.',
    );
}

/** Commander's own shows the help of everything for a command that it does not know. */
function addHelpCommand({ program, command }: Registry): void {
  program.helpCommand(false);
  command('help [command...]', 'show the help of a command').action(async (words: readonly string[]) => {
    let target = program;
    for (const word of words) {
      const next = target.commands.find((known) => known.name() === word || known.aliases().includes(word));
      if (next === undefined) {
        const { EruError } = await import('@eru/kit');
        throw new EruError('invalid', `unknown command '${word}'; \`eru --help\` lists them`);
      }
      target = next;
    }
    target.help();
  });
}

const globalsGroup = 'Global options:';

/** What a command is for comes before what all have. */
function globalsLast(command: Command, helper: Help): string {
  const sections = Help.prototype.formatHelp.call(helper, command, helper).trimEnd().split('\n\n');
  const [own, globals] = [false, true].map((global) =>
    sections.filter((text) => text.startsWith(globalsGroup) === global),
  );
  return `${[...(own ?? []), ...(globals ?? [])].join('\n\n')}\n`;
}

/**
 * Every command has them, so that they may stand on either side of its name; their short forms only before it. Added last,
 * the command's own options come first in its help.
 */
function addGlobals(command: Command): void {
  const short = (letter: string): string => (command.parent === null ? `-${letter}, ` : '');
  const group = globalsGroup;
  command
    .addOption(new Option('--data <dir>', 'folder of the Eru on this machine (ERU_DATA)').helpGroup(group))
    .addOption(new Option(`${short('e')}--eru <address>`, 'address of core, host:port (ERU)').helpGroup(group))
    .addOption(new Option(`${short('u')}--username <name>`, 'credential (ERU_USERNAME)').helpGroup(group))
    .addOption(new Option(`${short('p')}--password <text>`, 'credential (ERU_PASSWORD)').helpGroup(group))
    .addOption(new Option('--token <secret>', 'instead of a credential (ERU_TOKEN)').helpGroup(group))
    .addOption(new Option('--tls-ca <file>', 'authority of the certificate of core (ERU_TLS_CA)').helpGroup(group))
    .addOption(new Option('--tls-cert <file>', 'certificate to show (ERU_TLS_CERT)').helpGroup(group))
    .addOption(new Option('--tls-key <file>', 'its key (ERU_TLS_KEY)').helpGroup(group))
    .addOption(
      new Option('-o, --output <format>', 'how data is shown').choices([...outputFormats, 'yml']).helpGroup(group),
    );
  for (const child of command.commands) addGlobals(child);
}

/** The nearest to the command's own arguments wins, then the environment. */
function globalsOf(target: Command, { env }: Shell): Globals {
  const find = (name: string, variable: string): string | undefined => {
    for (let command: Command | null = target; command !== null; command = command.parent) {
      const value: unknown = command.getOptionValueSource(name) === 'cli' ? command.getOptionValue(name) : undefined;
      if (typeof value === 'string') return value;
    }
    const value = env[variable];
    return value === '' ? undefined : value;
  };
  const eru = find('eru', 'ERU');
  const username = find('username', 'ERU_USERNAME');
  const password = find('password', 'ERU_PASSWORD');
  const token = find('token', 'ERU_TOKEN');
  const [ca, cert, key] = [find('tlsCa', 'ERU_TLS_CA'), find('tlsCert', 'ERU_TLS_CERT'), find('tlsKey', 'ERU_TLS_KEY')];
  return {
    data: path.resolve(find('data', 'ERU_DATA') ?? defaultDataFolder(env)),
    ...(eru === undefined ? {} : { eru }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(token === undefined ? {} : { token }),
    ...(ca === undefined && cert === undefined && key === undefined
      ? {}
      : {
          tls: {
            ...(ca !== undefined && { ca }),
            ...(cert !== undefined && { cert }),
            ...(key !== undefined && { key }),
          },
        }),
    output: formatOf(find('output', 'ERU_OUTPUT_FORMAT')),
  };
}

function formatOf(text: string | undefined): OutputFormat {
  const wanted = text?.toLowerCase();
  if (wanted === 'yml') return 'yaml';
  return outputFormats.find((format) => format === wanted) ?? 'table';
}

async function report(error: unknown, shell: Shell): Promise<number> {
  // Commander has already said what is wrong.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  const { describeError } = await import('./failure.ts');
  const { message, exitCode } = describeError(error);
  if (message !== '') shell.stderr.write(`eru: ${message}\n`);
  return exitCode;
}
