import { EruError, isEruError, type Clock, type Json, type JsonObject, type Random } from '@eru/kit';

import { mergedEvents, type Part } from './composite-events.ts';
import { engineOf } from './engine-choice.ts';
import type {
  CallOptions,
  Engine,
  EngineEvent,
  EngineImage,
  EngineInfo,
  EngineNetwork,
  NetworkQuestion,
  EngineParams,
  ExecSpec,
  ExitState,
  FencedOptions,
  ImageBuild,
  ImageOptions,
  LogEntry,
  LogOptions,
  Session,
  WorkloadSpec,
  WorkloadState,
  WorkloadStats,
} from './engine.ts';

export interface CompositeOptions {
  /** The first one is the machine: its identity and its capacity are the node's, booked once for all. */
  parts: readonly [Part, ...Part[]];
  clock: Clock;
  random: Random;
}

/**
 * One machine is one node: several engines behind one. A workload is made by the engine that it asks for (`engineOf`); every
 * verb finds it by its id. What one part does not answer is `unavailable` as a whole where a partial answer would mislead: a
 * workload that is not listed counts as gone.
 */
export function createCompositeEngine(options: CompositeOptions): Engine {
  return new CompositeEngine(options);
}

class CompositeEngine implements Engine {
  readonly #parts: readonly [Part, ...Part[]];
  readonly #options: CompositeOptions;
  /** Workload id -> its engine, as far as it is known. */
  readonly #homes = new Map<string, Engine>();

  constructor(options: CompositeOptions) {
    this.#parts = options.parts;
    this.#options = options;
  }

  /** A part that does not answer is told of in `missing`; the machine itself has to. */
  async info(options?: CallOptions): Promise<EngineInfo> {
    const [first, ...others] = this.#parts;
    const own = await first.engine.info(options);
    const rest = await Promise.all(
      others.map(async ({ name, engine }) => {
        try {
          const { offers, missing, resources } = await engine.info(options);
          return { offers, missing, resources };
        } catch (error) {
          const missing = [`${name} does not answer: ${EruError.from(error).message}`];
          return { offers: [], missing, resources: {} };
        }
      }),
    );
    return {
      ...own,
      type: this.#parts.map(({ name }) => name).join('+'),
      resources: Object.assign({}, ...rest.map(({ resources }) => resources).toReversed(), own.resources),
      offers: [...own.offers, ...rest.flatMap(({ offers }) => offers)],
      missing: [...own.missing, ...rest.flatMap(({ missing }) => missing)],
    };
  }

  /** The machine's: a part that is away must not make the node look dead. */
  ping(options?: CallOptions): Promise<void> {
    return this.#parts[0].engine.ping(options);
  }

  async create(spec: WorkloadSpec, options?: FencedOptions): Promise<WorkloadState> {
    const wanted = engineOf(spec);
    const part = this.#parts.find(({ name }) => name === wanted);
    if (part === undefined) {
      const names = this.#parts.map(({ name }) => name).join(', ');
      throw new EruError('unsupported', `engine: this node has ${names} and not ${wanted}`);
    }
    return this.#noted(await part.engine.create(spec, options), part.engine);
  }

  async start(id: string, options?: FencedOptions): Promise<void> {
    await (await this.#home(id, options)).start(id, options);
  }

  async stop(id: string, options?: FencedOptions & { graceMs?: number }): Promise<void> {
    await (await this.#home(id, options)).stop(id, options);
  }

  async kill(id: string, signal: string, options?: CallOptions): Promise<void> {
    await (await this.#home(id, options)).kill(id, signal, options);
  }

  async suspend(id: string, options?: FencedOptions): Promise<void> {
    await (await this.#home(id, options)).suspend(id, options);
  }

  async resume(id: string, options?: FencedOptions): Promise<void> {
    await (await this.#home(id, options)).resume(id, options);
  }

  async remove(id: string, options?: FencedOptions & { force?: boolean }): Promise<void> {
    const home = await this.#find(id, options);
    await home?.remove(id, options);
    this.#homes.delete(id);
  }

  async inspect(id: string, options?: CallOptions): Promise<WorkloadState> {
    return (await this.#home(id, options)).inspect(id, options);
  }

  async list(options?: CallOptions & { labels?: Readonly<Record<string, string>> }): Promise<WorkloadState[]> {
    const lists = this.#parts.map(async ({ engine }) =>
      (await engine.list(options)).map((state) => this.#noted(state, engine)),
    );
    return (await Promise.all(lists)).flat().toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  events(options: CallOptions & { after?: string } = {}): AsyncIterable<EngineEvent> {
    return mergedEvents(this.#parts, options, this.#options);
  }

  async wait(id: string, options?: CallOptions): Promise<ExitState> {
    return (await this.#home(id, options)).wait(id, options);
  }

  async *logs(id: string, options?: LogOptions): AsyncGenerator<LogEntry> {
    yield* (await this.#home(id, options)).logs(id, options);
  }

  async exec(id: string, spec: ExecSpec, options?: CallOptions): Promise<Session> {
    return (await this.#home(id, options)).exec(id, spec, options);
  }

  async attach(id: string, options?: CallOptions): Promise<Session> {
    return (await this.#home(id, options)).attach(id, options);
  }

  async copyTo(id: string, path: string, tar: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void> {
    await (await this.#home(id, options)).copyTo(id, path, tar, options);
  }

  async *copyFrom(id: string, path: string, options?: CallOptions): AsyncGenerator<Uint8Array> {
    yield* (await this.#home(id, options)).copyFrom(id, path, options);
  }

  async update(id: string, engineParams: EngineParams, options?: FencedOptions): Promise<WorkloadState> {
    return (await this.#home(id, options)).update(id, engineParams, options);
  }

  async stats(id: string, options?: CallOptions): Promise<WorkloadStats> {
    return (await this.#home(id, options)).stats(id, options);
  }

  async networkConnect(
    id: string,
    network: string,
    options?: CallOptions & { ipv4?: string; ipv6?: string },
  ): Promise<string[]> {
    return (await this.#home(id, options)).networkConnect(id, network, options);
  }

  async networkDisconnect(id: string, network: string, options?: CallOptions & { force?: boolean }): Promise<void> {
    await (await this.#home(id, options)).networkDisconnect(id, network, options);
  }

  /** Of all parts that have networks. */
  async networkList(options?: CallOptions & { drivers?: readonly string[] }): Promise<EngineNetwork[]> {
    const lists: EngineNetwork[][] = [];
    let refusal: unknown;
    for (const { engine } of this.#parts) {
      try {
        lists.push(await engine.networkList(options));
      } catch (error) {
        if (!isEruError(error, 'unsupported')) throw error;
        refusal ??= error;
      }
    }
    if (lists.length === 0) throw EruError.from(refusal);
    return lists.flat();
  }

  askNetwork(verb: NetworkQuestion, request: JsonObject, options?: CallOptions): Promise<Json> {
    return this.#able((engine) => engine.askNetwork(verb, request, options));
  }

  imageList(filter: string, options?: CallOptions): Promise<EngineImage[]> {
    return this.#able((engine) => engine.imageList(filter, options));
  }

  imagePull(reference: string, options?: ImageOptions): AsyncIterable<JsonObject> {
    return this.#streamed((engine) => engine.imagePull(reference, options));
  }

  imagePush(reference: string, options?: ImageOptions): AsyncIterable<JsonObject> {
    return this.#streamed((engine) => engine.imagePush(reference, options));
  }

  imageRemove(reference: string, options?: CallOptions & { force?: boolean; prune?: boolean }): Promise<string[]> {
    return this.#able((engine) => engine.imageRemove(reference, options));
  }

  imagePrune(options?: CallOptions): Promise<void> {
    return this.#able((engine) => engine.imagePrune(options));
  }

  imageBuild(build: ImageBuild, context: AsyncIterable<Uint8Array>, options?: ImageOptions): AsyncIterable<JsonObject> {
    return this.#streamed((engine) => engine.imageBuild(build, context, options));
  }

  imageBuildPrune(options?: CallOptions): Promise<void> {
    return this.#able((engine) => engine.imageBuildPrune(options));
  }

  async imageCommit(id: string, references: readonly string[], options?: CallOptions): Promise<string> {
    return (await this.#home(id, options)).imageCommit(id, references, options);
  }

  async raw(id: string, operation: string, params: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return (await this.#home(id, options)).raw(id, operation, params, options);
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map(({ engine }) => engine.close()));
  }

  #noted(state: WorkloadState, engine: Engine): WorkloadState {
    this.#homes.set(state.id, engine);
    return state;
  }

  async #home(id: string, options: CallOptions | undefined): Promise<Engine> {
    const home = await this.#find(id, options);
    if (home === undefined) throw new EruError('not_found', `no workload ${id} here`);
    return home;
  }

  /** Undefined when all parts say that it is not there; one that does not answer may have it. */
  async #find(id: string, { signal }: CallOptions = {}): Promise<Engine | undefined> {
    const known = this.#homes.get(id);
    if (known !== undefined) return known;
    let silent: unknown;
    for (const { engine } of this.#parts) {
      try {
        await engine.inspect(id, signal === undefined ? {} : { signal });
        this.#homes.set(id, engine);
        return engine;
      } catch (error) {
        if (!isEruError(error, 'not_found')) silent ??= error;
      }
    }
    if (silent !== undefined) throw EruError.from(silent);
    return undefined;
  }

  /** What is not about one workload is done by the first part that can. */
  async #able<T>(call: (engine: Engine) => Promise<T>): Promise<T> {
    let refusal: unknown;
    for (const { engine } of this.#parts) {
      try {
        return await call(engine);
      } catch (error) {
        if (!isEruError(error, 'unsupported')) throw error;
        refusal ??= error;
      }
    }
    throw EruError.from(refusal);
  }

  /** The same for streams, which refuse before their first item. */
  async *#streamed(call: (engine: Engine) => AsyncIterable<JsonObject>): AsyncGenerator<JsonObject> {
    const [items, first] = await this.#able(async (engine) => {
      const iterator = call(engine)[Symbol.asyncIterator]();
      return [iterator, await iterator.next()] as const;
    });
    try {
      for (let item = first; item.done !== true; item = await items.next()) yield item.value;
    } finally {
      await items.return?.();
    }
  }
}
