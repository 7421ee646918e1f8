import { EruError } from '@eru/kit';
import { spawn, type IPty } from '@lydell/node-pty';

/** How long a program on a terminal may take to say what is waited for. */
const patienceMs = 20_000;

/** A program on a real pseudo-terminal, and a person before it who reads before typing on. */
export class Terminal {
  readonly exit: Promise<number>;
  readonly #pty: IPty;
  readonly #listeners = new Set<() => void>();
  #unread = '';

  constructor(command: readonly [string, ...string[]], size: { rows: number; cols: number }) {
    const [program, ...args] = command;
    this.#pty = spawn(program, args, { ...size, env: { ...process.env, TERM: 'xterm', PS1: '$ ' } });
    this.#pty.onData((text) => {
      this.#unread += text;
      for (const look of this.#listeners) look();
    });
    this.exit = new Promise((resolve) => this.#pty.onExit(({ exitCode }) => resolve(exitCode)));
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  resize(cols: number, rows: number): void {
    this.#pty.resize(cols, rows);
  }

  /** Reads on until the words appear; answers what was matched. */
  async read(words: RegExp): Promise<string> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
      };
      const look = (): void => {
        const match = words.exec(this.#unread);
        if (match === null) return;
        this.#unread = this.#unread.slice(match.index + match[0].length);
        end();
        resolve(match[0]);
      };
      const timer = setTimeout(() => {
        end();
        reject(new EruError('timeout', `no ${String(words)} on the terminal, but ${JSON.stringify(this.#unread)}`));
      }, patienceMs);
      this.#listeners.add(look);
      look();
    });
  }

  close(): void {
    this.#pty.kill('SIGKILL');
  }
}
