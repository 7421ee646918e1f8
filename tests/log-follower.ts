import { retry } from '@eru/kit';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

import { patience } from './apart.ts';
import { command } from './eru.ts';

/** `eru logs -f` of one workload. */
export class LogFollower {
  readonly #id: string;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;
  #said = '';

  /** `data`: folder of the Eru that has the workload. */
  constructor(data: string, id: string) {
    this.#id = id;
    this.#child = spawn(process.execPath, [command, 'logs', '-f', id, '--data', data], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#exit = once(this.#child, 'exit');
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#said += text));
  }

  /** What it has printed so far, in whole lines. */
  get lines(): string[] {
    return this.#said.split('\n').slice(0, -1);
  }

  /** Resolves when it has printed more than it had. */
  async goesOn(): Promise<void> {
    const before = this.lines.length;
    await retry(() => {
      if (this.lines.length > before) return Promise.resolve();
      throw new Error(`logs -f of ${this.#id} stands still after ${before} lines`);
    }, patience);
  }

  /** Its code, when it has ended by itself. */
  async ended(): Promise<number | null> {
    await this.#exit;
    return this.#child.exitCode;
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }
}
