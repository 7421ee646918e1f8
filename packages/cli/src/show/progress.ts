import readline from 'node:readline';

import type { Shell } from '../context.ts';

/**
 * What is going on, item by item, on standard error. A terminal shows each item on one line that changes in place; anything
 * else gets a line per change. `close` leaves the last state standing.
 */
export class Progress {
  readonly #shell: Shell;
  readonly #items = new Map<string, string>();
  #drawn = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(shell: Shell) {
    this.#shell = shell;
  }

  set(item: string, state: string): void {
    if (this.#items.get(item) === state) return;
    this.#items.set(item, state);
    if (this.#shell.stderr.isTTY !== true) {
      this.#shell.stderr.write(`${item} ${state}\n`);
      return;
    }
    // A thousand instances change more often than anybody reads.
    this.#timer ??= setTimeout(() => this.#draw(), redrawMs);
  }

  close(): void {
    if (this.#shell.stderr.isTTY === true) this.#draw(true);
  }

  #draw(last = false): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { stderr } = this.#shell;
    if (this.#drawn > 0) readline.moveCursor(stderr, 0, -this.#drawn);
    readline.cursorTo(stderr, 0);
    readline.clearScreenDown(stderr);
    // What stands last is not drawn over, so it may be as long as it is: a reason above all.
    const { rows = 24, columns = 80 } = last ? { rows: Infinity, columns: Infinity } : stderr;
    const lines = this.#lines(Math.max(1, rows - 2), columns - 1);
    stderr.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawn = lines.length;
  }

  /** At most what fits on the screen: what scrolled away cannot be redrawn. Lines are cut for the same reason. */
  #lines(most: number, columns: number): string[] {
    const width = Math.max(0, ...[...this.#items.keys()].map((item) => item.length));
    const all = [...this.#items].map(([item, state]) => cut(`${item.padEnd(width)}  ${state}`, columns));
    if (all.length <= most) return all;
    const counts = new Map<string, number>();
    for (const state of this.#items.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
    const summary = [...counts].map(([state, count]) => `${count} ${state}`).join(', ');
    return [...all.slice(all.length - most + 1), cut(`${all.length} in all: ${summary}`, columns)];
  }
}

const redrawMs = 50;

function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
