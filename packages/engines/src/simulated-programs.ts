import type { Program } from './simulated-process.ts';

/**
 * What a command does on a simulated machine: its first word says it. `echo WORDS`, `complain WORDS` (on standard error),
 * `cat`, `exit CODE`, `stubborn` (ignores TERM), `size` (prints the terminal's size at each input), `env NAME`,
 * `count LINES`. Any other main process runs until something ends it; any other exec echoes its command.
 */
export const defaultProgram: Program = (process) => {
  const program = programs[process.command[0] ?? ''];
  if (program !== undefined) return program(process);
  return process.role === 'main' ? process.ended : print(process, process.command);
};

const programs: Readonly<Record<string, Program>> = {
  echo: (process) => print(process, process.command.slice(1)),
  complain: (process) => print(process, process.command.slice(1), 'stderr'),
  exit: (process) => Promise.resolve(Number(process.command[1] ?? 0)),
  env: (process) => {
    const prefix = `${process.command[1]}=`;
    const value = process.env.findLast((entry) => entry.startsWith(prefix));
    return print(process, [value?.slice(prefix.length) ?? '']);
  },
  cat: async (process) => {
    for await (const data of process.stdin) await process.print(data);
    return 0;
  },
  size: async (process) => {
    for await (const _input of process.stdin)
      await process.print(`${process.size?.rows ?? 0} ${process.size?.cols ?? 0}\n`);
    return 0;
  },
  stubborn: (process) => {
    process.ignored.add('SIGTERM');
    return process.ended;
  },
  count: async (process) => {
    const lines = Number(process.command[1] ?? 1);
    for (let line = 1; line <= lines; line++) await process.print(`${line}\n`);
    return 0;
  },
};

async function print(
  process: Parameters<Program>[0],
  words: readonly string[],
  stream?: 'stdout' | 'stderr',
): Promise<number> {
  await process.print(`${words.join(' ')}\n`, stream);
  return 0;
}
