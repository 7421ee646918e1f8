import { watch, type FSWatcher } from 'node:fs';

/**
 * Calls `changed` soon after something has changed in a folder, at most once per `pauseMs`: in between nothing is
 * listened to, so that a writer of a hundred thousand lines a second costs no more than one of ten.
 */
export class FolderWatch {
  readonly #folder: string;
  readonly #pauseMs: number;
  readonly #changed: () => void;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(folder: string, pauseMs: number, changed: () => void) {
    this.#folder = folder;
    this.#pauseMs = pauseMs;
    this.#changed = changed;
    this.#listen();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    clearTimeout(this.#timer);
  }

  #listen(): void {
    try {
      this.#watcher = watch(this.#folder, () => this.#pause()).on('error', () => {});
    } catch {
      // The folder has gone, or no watches are left: whoever needs to know looks from time to time as well.
    }
  }

  #pause(): void {
    this.#watcher?.close();
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      if (this.#closed) return;
      // Listening begins before the look: what comes in between is told anew.
      this.#listen();
      this.#changed();
    }, this.#pauseMs).unref();
  }
}
