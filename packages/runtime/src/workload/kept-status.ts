import { EruError } from '@eru/kit';

import type { WorkloadFolder, WorkloadStatus } from './workload-folder.ts';

/** The status of one workload: on disk before anybody sees it, and told to those who wait for a change. */
export class KeptStatus {
  readonly #folder: WorkloadFolder;
  readonly #name: string;
  readonly #changed = new Set<() => void>();
  #status: WorkloadStatus;

  constructor(folder: WorkloadFolder, name: string, status: WorkloadStatus) {
    this.#folder = folder;
    this.#name = name;
    this.#status = status;
  }

  get now(): WorkloadStatus {
    return this.#status;
  }

  /** Refuses an effect whose right is older than one that the object has seen; a newer one is kept with the next write. */
  fence(revision: number | undefined): void {
    if (revision === undefined) return;
    if (revision < this.#status.revision)
      throw new EruError('fenced', `${this.#name}: revision ${revision} is older than ${this.#status.revision}`);
    this.#status = { ...this.#status, revision };
  }

  async write(change: Partial<WorkloadStatus>): Promise<void> {
    await this.save(change);
    this.tell();
  }

  /** Without telling: more belongs to it. */
  async save(change: Partial<WorkloadStatus>): Promise<void> {
    const status = { ...this.#status, ...change };
    await this.#folder.writeStatus(status);
    this.#status = status;
  }

  /** In memory only: what a later daemon finds out by itself. */
  assume(change: Partial<WorkloadStatus>): void {
    this.#status = { ...this.#status, ...change };
  }

  tell(): void {
    for (const told of this.#changed) told();
  }

  async until(is: () => boolean, signal?: AbortSignal): Promise<void> {
    while (!is()) {
      await new Promise<void>((resolve, reject) => {
        const done = (): void => {
          this.#changed.delete(done);
          signal?.removeEventListener('abort', stop);
          resolve();
        };
        const stop = (): void => {
          this.#changed.delete(done);
          reject(EruError.from(signal?.reason));
        };
        if (signal?.aborted) return stop();
        this.#changed.add(done);
        signal?.addEventListener('abort', stop, { once: true });
      });
    }
  }
}
