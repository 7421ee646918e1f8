import { EruError } from '@eru/kit';

/** The verbs that processes do not have: images, and operations of other kinds of engines. */
export abstract class WithoutImages {
  readonly #known: (id: string) => void;

  /** `known` throws for an id that is not here. */
  constructor(known: (id: string) => void) {
    this.#known = known;
  }

  imageList(): Promise<[]> {
    return this.unsupported('images');
  }

  async *imagePull(): AsyncGenerator<never> {
    yield await this.unsupported('images');
  }

  async *imagePush(): AsyncGenerator<never> {
    yield await this.unsupported('images');
  }

  imageRemove(): Promise<string[]> {
    return this.unsupported('images');
  }

  imagePrune(): Promise<void> {
    return this.unsupported('images');
  }

  async *imageBuild(): AsyncGenerator<never> {
    yield await this.unsupported('images');
  }

  imageBuildPrune(): Promise<void> {
    return this.unsupported('images');
  }

  imageCommit(id: string): Promise<string> {
    return this.unsupported('images', id);
  }

  raw(id: string): Promise<Uint8Array> {
    return this.unsupported('raw operations', id);
  }

  protected async unsupported(what: string, id?: string): Promise<never> {
    if (id !== undefined) this.#known(id);
    throw new EruError('unsupported', `the process engine does not support ${what}`);
  }
}
