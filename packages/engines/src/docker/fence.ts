import { EruError } from '@eru/kit';

/**
 * The highest revision that each container has seen from this process. Docker keeps none, so of two processes neither knows the
 * other's, and what comes late from a core that has died is not refused (docs/protocol.md, "Late calls").
 */
export class Fence {
  readonly #seen = new Map<string, number>();

  of(id: string): number {
    return this.#seen.get(id) ?? 0;
  }

  /** @throws EruError `fenced` when the object has seen more */
  pass(id: string, revision: number | undefined): void {
    if (revision === undefined) return;
    const seen = this.of(id);
    if (revision < seen)
      throw new EruError('fenced', `revision ${revision} comes too late; the container has seen ${seen}`);
    this.#seen.set(id, revision);
  }

  forget(id: string): void {
    this.#seen.delete(id);
  }
}
