import { EruError } from '@eru/kit';
import type { JsonObject, Random } from '@eru/kit';

import type { EngineImage, ImageBuild } from '../engine.ts';

/** The images of a simulated machine. Its registry has every image there is. */
export class SimulatedImages {
  /** Id -> references. */
  readonly #images = new Map<string, Set<string>>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Images whose references are of this repository (all when empty). */
  list(repository: string): EngineImage[] {
    const named = (reference: string): boolean =>
      repository === '' || reference === repository || reference.startsWith(`${repository}:`);
    return [...this.#images]
      .map(([id, references]) => ({ id, tags: [...references].filter(named).toSorted() }))
      .filter(({ tags }) => tags.length > 0 || repository === '');
  }

  pull(reference: string): JsonObject[] {
    if (reference === '') throw new EruError('invalid', 'reference: an image needs a name');
    if (this.#idOf(reference) !== undefined) return [{ status: `${reference} is up to date` }];
    this.#images.set(`sha256:${this.#random.hex(64)}`, new Set([reference]));
    return [{ status: `pulling ${reference}` }, { status: `downloaded ${reference}` }];
  }

  push(reference: string): JsonObject[] {
    if (this.#idOf(reference) === undefined) throw noImage(reference);
    return [{ status: `pushed ${reference}` }];
  }

  build({ references }: ImageBuild, contextBytes: number): JsonObject[] {
    const id = this.make(references);
    return [{ stream: `read ${contextBytes} bytes of context\n` }, { stream: `built ${id}\n`, id }];
  }

  /** A new image with these names, which others lose. */
  make(references: readonly string[]): string {
    if (references.length === 0) throw new EruError('invalid', 'references: an image needs a name');
    for (const reference of references) this.#untag(reference);
    const id = `sha256:${this.#random.hex(64)}`;
    this.#images.set(id, new Set(references));
    return id;
  }

  /** Answers what was untagged and deleted. */
  remove(reference: string): string[] {
    if (this.#idOf(reference) === undefined) throw noImage(reference);
    return this.#untag(reference);
  }

  /** Deletes all that `used` does not name. */
  prune(used: ReadonlySet<string>): void {
    for (const [id, references] of this.#images)
      if (![...references].some((reference) => used.has(reference))) this.#images.delete(id);
  }

  #idOf(reference: string): string | undefined {
    for (const [id, references] of this.#images) if (references.has(reference)) return id;
    return undefined;
  }

  #untag(reference: string): string[] {
    const id = this.#idOf(reference);
    if (id === undefined) return [];
    const references = this.#images.get(id);
    references?.delete(reference);
    if (references?.size !== 0) return [reference];
    this.#images.delete(id);
    return [reference, id];
  }
}

function noImage(reference: string): EruError {
  return new EruError('not_found', `no image ${reference}`);
}
