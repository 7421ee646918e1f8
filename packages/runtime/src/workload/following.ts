import type { Clock } from '@eru/kit';

import { FolderWatch } from '../logs/folder-watch.ts';
import type { Run } from '../process/run.ts';
import type { Output, OutputOptions } from '../process/supervisor.ts';

/** Notifications may be missing on some file systems; then this is how late an end is seen. */
const safetyMs = 2_000;

/** Follows the present run of a workload: hears of its exit file, and keeps its log; a slow look catches what was not told. */
export class Following {
  readonly #clock: Clock;
  readonly #exits: string;
  readonly #options: OutputOptions;
  #exitWatch: FolderWatch | undefined;
  #timer: { cancel(): void } | undefined;
  #output: Output | undefined;

  constructor(clock: Clock, exits: string, options: OutputOptions) {
    this.#clock = clock;
    this.#exits = exits;
    this.#options = options;
  }

  /** Calls `look` whenever it may have ended, until it is left. */
  begin(run: Run, look: () => void): void {
    this.leave();
    this.#exitWatch = new FolderWatch(this.#exits, 0, look);
    this.#output ??= run.output(this.#options);
    this.#output.watch();
    const again = (): void => {
      look();
      this.#timer = this.#clock.timer(safetyMs, again);
    };
    this.#timer = this.#clock.timer(safetyMs, again);
  }

  /** Everything written so far is in the log. */
  async drain(): Promise<void> {
    await this.#output?.drain();
  }

  /** All that an ended run has said goes to the log. */
  async finish(run: Run): Promise<void> {
    this.leave();
    const output = this.#output ?? run.output(this.#options);
    this.#output = undefined;
    try {
      await output.drain();
    } finally {
      await output.close();
    }
  }

  /** Looks no more; the output is still kept. */
  leave(): void {
    this.#exitWatch?.close();
    this.#timer?.cancel();
  }

  async close(): Promise<void> {
    this.leave();
    await this.#output?.close();
  }
}
