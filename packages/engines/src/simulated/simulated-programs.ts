import type { Program, SimulatedProcess } from './simulated-process.ts';

/**
 * What a command does on a simulated machine: its first word says it. `echo WORDS`, `cat`, `exit CODE`, `serve LINES` (prints
 * them, then `ready`, and runs until something ends it), `stubborn` (the same, but ignores TERM), `speak` (a word on each
 * stream, exit code 3), `absent` (is not there), `size` (prints the terminal's size at each input), `env NAME`, `count LINES`. Any other main process
 * runs until something ends it; any other exec echoes its command.
 */
export const defaultProgram: Program = (process) => {
  const [name = '', ...args] = process.command;
  const program = programs[name];
  if (program !== undefined) return program(process, args);
  return process.role === 'main' ? process.ended : print(process, process.command);
};

const programs: Readonly<Record<string, (process: SimulatedProcess, args: string[]) => Promise<number>>> = {
  echo: print,
  exit: (_process, [code = '0']) => Promise.resolve(Number(code)),
  serve: async (process, lines) => {
    for (const line of [...lines, 'ready']) await process.print(`${line}\n`);
    return process.ended;
  },
  stubborn: async (process) => {
    process.ignored.add('SIGTERM');
    await process.print('ready\n');
    return process.ended;
  },
  speak: async (process) => {
    await process.print('out\n');
    await process.print('err\n', 'stderr');
    return 3;
  },
  absent: async (process) => {
    await process.print('absent: no such file or directory\n', 'stderr');
    return 127;
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
  env: (process, [name]) => {
    const value = process.env.findLast((entry) => entry.startsWith(`${name}=`));
    return print(process, [value?.slice(value.indexOf('=') + 1) ?? '']);
  },
  count: async (process, [lines = '1']) => {
    for (let line = 1; line <= Number(lines); line++) await process.print(`${line}\n`);
    return 0;
  },
};

async function print(process: SimulatedProcess, words: readonly string[]): Promise<number> {
  await process.print(`${words.join(' ')}\n`);
  return 0;
}
