import { existsSync } from 'node:fs';
import { constants, open } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { FolderWatch } from './folder-watch.ts';
import { currentLog, rotateLog, type LogLimits } from './log-files.ts';
import { Serial } from '../serial.ts';
import type { Output } from '../process/supervisor.ts';
import type { WorkloadFolder } from '../workload/workload-folder.ts';

/** How often the size of a log that is being written is looked at. */
const lookMs = 200;
/** How long conmon may take to open its log anew. */
const reopenMs = 2000;
/** Opens the log anew, as conmon reads it from its control pipe. */
const reopenWords = '2 0 0\n';

/**
 * conmon writes the log itself; what is left is to bound it. A full file is renamed, conmon writes on in it, and is told to
 * open its log anew: no line is lost, whoever dies in between. (Its own `--log-size-max` throws the lines away.)
 */
export class ConmonLog implements Output {
  readonly #folder: WorkloadFolder;
  readonly #limits: LogLimits;
  readonly #serial = new Serial();
  #watch: FolderWatch | undefined;
  /** Whether the last daemon's rotation is known to be complete. */
  #whole = false;

  constructor(folder: WorkloadFolder, limits: LogLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  watch(): void {
    this.#watch ??= new FolderWatch(this.#folder.log, lookMs, () => void this.drain().catch(() => {})); // Tried again at the next change.
    void this.drain().catch(() => {});
  }

  drain(): Promise<void> {
    return this.#serial.run(async () => {
      const { log } = this.#folder;
      if (!this.#whole) await this.#finishRotation();
      await rotateLog(log, this.#limits, (file) => this.#reopen(file));
    });
  }

  async close(): Promise<void> {
    this.#watch?.close();
    this.#watch = undefined;
    await this.#serial.idle();
  }

  /** A daemon may have died between the renaming and the word to conmon; or conmon has the word and has not yet acted. */
  async #finishRotation(): Promise<void> {
    const file = path.join(this.#folder.log, currentLog);
    const listens = !existsSync(file) && (await tell(this.#pipe, ''));
    // Told twice, it could drop what it wrote in between: it is given its time first.
    if (listens && !(await appears(file, reopenMs))) await this.#reopen(file);
    this.#whole = true;
  }

  async #reopen(file: string): Promise<void> {
    if (await tell(this.#pipe, reopenWords)) await appears(file, reopenMs);
  }

  get #pipe(): string {
    return path.join(this.#folder.run, 'ctl');
  }
}

/** False when nobody reads from the pipe: conmon has ended. */
async function tell(pipe: string, words: string): Promise<boolean> {
  const handle = await open(pipe, constants.O_WRONLY | constants.O_NONBLOCK).catch(() => undefined);
  if (handle === undefined) return false;
  try {
    await handle.write(words);
    return true;
  } finally {
    await handle.close();
  }
}

async function appears(file: string, limitMs: number): Promise<boolean> {
  for (let waited = 0; waited < limitMs; waited += 5) {
    if (existsSync(file)) return true;
    await sleep(5);
  }
  return false;
}
