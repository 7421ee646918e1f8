import type { CoreCalls } from '@eru/agent';
import { connectCore, type ConnectCoreOptions, type Core } from '@eru/client';
import { EruError, isEruError } from '@eru/kit';

/**
 * A client of a core that may not be there yet, or may be elsewhere after its next start: whenever it cannot be reached,
 * it is looked for again before the next call. Calls fail meanwhile; who makes them tries again.
 */
export class LateCore implements CoreCalls {
  readonly #find: () => Promise<ConnectCoreOptions>;
  #found: { text: string; client: Core } | undefined;
  #lost = true;

  constructor(find: () => Promise<ConnectCoreOptions>) {
    this.#find = find;
  }

  readonly core: CoreCalls['core'] = {
    getNode: (...args) => this.#call((client) => client.core.getNode(...args)),
    addNode: (...args) => this.#call((client) => client.core.addNode(...args)),
    addPod: (...args) => this.#call((client) => client.core.addPod(...args)),
    setNodeStatus: (...args) => this.#call((client) => client.core.setNodeStatus(...args)),
  };

  readonly eru: CoreCalls['eru'] = {
    reportWorkloads: (...args) => this.#call((client) => client.eru.reportWorkloads(...args)),
  };

  close(): void {
    this.#found?.client.close();
  }

  async #call<T>(call: (client: Core) => Promise<T>): Promise<T> {
    const client = await this.#client();
    try {
      return await call(client);
    } catch (error) {
      this.#lost ||= isLost(error);
      throw error;
    }
  }

  async #client(): Promise<Core> {
    if (this.#found !== undefined && !this.#lost) return this.#found.client;
    const options = await this.#find().catch((cause: unknown) => {
      throw new EruError('unavailable', `core is not known yet: ${EruError.from(cause).message}`, { cause });
    });
    const text = JSON.stringify(options);
    if (this.#found?.text !== text) {
      this.#found?.client.close();
      this.#found = { text, client: connectCore(options) };
    }
    await this.#found.client.ready();
    this.#lost = false;
    return this.#found.client;
  }
}

/** Another address or another credential may help. */
function isLost(error: unknown): boolean {
  return isEruError(error, 'unavailable') || isEruError(error, 'timeout') || isEruError(error, 'unauthenticated');
}
