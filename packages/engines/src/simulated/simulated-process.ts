import { EruError, Queue } from '@eru/kit';
import { constants } from 'node:os';

import type { Session, TerminalSize } from '../engine.ts';

/** What a simulated program sees of its process. It ends with the code it resolves to, if nothing ended it before. */
export interface SimulatedProcess {
  readonly role: 'main' | 'exec';
  readonly command: readonly string[];
  /** `KEY=value` */
  readonly env: readonly string[];
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Present with a terminal. */
  size: TerminalSize | undefined;
  /** Signals that do not end it; KILL always does. */
  readonly ignored: Set<string>;
  /** Resolves when taken: a reader who does not read holds the program back. */
  print(text: string | Uint8Array, stream?: 'stdout' | 'stderr'): Promise<void>;
  /** Resolves when a signal, or the machine, has ended the process. */
  readonly ended: Promise<number>;
}

export type Program = (process: SimulatedProcess) => Promise<number>;

/** Signals that do nothing where no handler is installed (signal(7)). */
const harmless: ReadonlySet<string> = new Set(['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH']);

interface RunningOptions {
  role: 'main' | 'exec';
  command: readonly string[];
  env: readonly string[];
  stdin: boolean;
  size: TerminalSize | undefined;
  tty: boolean;
  program: Program;
  output: (stream: 'stdout' | 'stderr', data: Uint8Array) => Promise<void>;
}

/** One process that runs: its program, its signals, its end. */
export class RunningProcess implements SimulatedProcess {
  readonly role: 'main' | 'exec';
  readonly command: readonly string[];
  readonly env: readonly string[];
  readonly stdin = new Queue<Uint8Array>(64);
  readonly ignored = new Set<string>();
  readonly ended: Promise<number>;
  size: TerminalSize | undefined;
  readonly #tty: boolean;
  readonly #output: RunningOptions['output'];
  readonly #end: (code: number) => void;
  #over = false;

  constructor(options: RunningOptions) {
    this.role = options.role;
    this.command = options.command;
    this.env = options.env;
    this.size = options.tty ? (options.size ?? { rows: 24, cols: 80 }) : undefined;
    this.#tty = options.tty;
    this.#output = options.output;
    let end = (_code: number): void => {};
    this.ended = new Promise((resolve) => {
      end = resolve;
    });
    this.#end = end;
    if (!options.stdin) this.stdin.end();
    // A program that fails is a program that crashed.
    options.program(this).then(
      (code) => this.exit(code),
      () => this.exit(134),
    );
  }

  async print(text: string | Uint8Array, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    if (this.#over) return;
    await this.#output(this.#tty ? 'stdout' : stream, typeof text === 'string' ? Buffer.from(text) : text);
  }

  /** The first end counts. */
  exit(code: number): void {
    this.#over = true;
    this.stdin.end();
    this.#end(code);
  }

  signal(name: string): void {
    if (name !== 'SIGKILL' && (harmless.has(name) || this.ignored.has(name))) return;
    this.exit(128 + signalNumberOf(name));
  }
}

/** Throws `invalid` for what is no signal. */
export function signalNumberOf(name: string): number {
  const number = (constants.signals as Readonly<Record<string, number>>)[name];
  if (number === undefined) throw new EruError('invalid', `signal: ${name} is no signal; write SIGTERM, SIGHUP, …`);
  return number;
}

interface SessionOptions {
  process: RunningProcess;
  output: Queue<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>;
  stdin: boolean;
  exit: Promise<number>;
  close: () => Promise<void>;
}

/** A process's streams as an engine hands them out. */
export function sessionOf({ process, output, stdin, exit, close }: SessionOptions): Session {
  let open = stdin;
  const closed = (): EruError => new EruError('precondition', 'stdin is closed');
  return {
    output,
    exit,
    close,
    write: async (data) => {
      if (!open || process.stdin.ended) throw closed();
      if (data.length > 0 && !(await process.stdin.put(data))) throw closed();
    },
    closeStdin: async () => {
      open = false;
      if (stdin) process.stdin.end();
    },
    resize: async (size) => {
      if (process.size === undefined) throw new EruError('precondition', 'no terminal');
      process.size = size;
    },
  };
}
