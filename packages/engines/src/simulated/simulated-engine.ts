import { EruError } from '@eru/kit';
import type { Clock, Json, JsonObject } from '@eru/kit';

import { waitFor } from '../call-limit.ts';
import type { EngineVerb } from '../call-limit.ts';
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
  LogEntry,
  LogOptions,
  Session,
  WorkloadSpec,
  WorkloadState,
  WorkloadStats,
} from '../engine.ts';
import type { SimulatedCall } from './simulated-call.ts';
import type { SimulatedHost } from './simulated-host.ts';
import type { SimulatedWorkload } from './simulated-workload.ts';

const defaultGraceMs = 10_000;
const chunkBytes = 64 * 1024;

/** One client's engine over a simulated machine. */
export class SimulatedEngine implements Engine {
  readonly #host: SimulatedHost;
  readonly #call: SimulatedCall;
  readonly #clock: Clock;
  readonly #onClose: () => void;

  constructor(host: SimulatedHost, call: SimulatedCall, clock: Clock, onClose: () => void) {
    this.#host = host;
    this.#call = call;
    this.#clock = clock;
    this.#onClose = onClose;
  }

  info(options?: CallOptions): Promise<EngineInfo> {
    return this.#call.unary('info', options, () => this.#host.info());
  }

  ping(options?: CallOptions): Promise<void> {
    return this.#call.unary('ping', options, () => {});
  }

  create(spec: WorkloadSpec, options?: FencedOptions): Promise<WorkloadState> {
    return this.#call.unary('create', options, () => this.#host.create(spec, options?.revision).state());
  }

  start(id: string, options?: FencedOptions): Promise<void> {
    return this.#fenced('start', id, options, (workload) => workload.start());
  }

  stop(id: string, options?: FencedOptions & { graceMs?: number }): Promise<void> {
    return this.#fenced('stop', id, options, (workload) => workload.stop(options?.graceMs ?? defaultGraceMs));
  }

  kill(id: string, signal: string, options?: CallOptions): Promise<void> {
    return this.#call.unary('kill', options, () => this.#host.get(id).kill(signal));
  }

  suspend(id: string, options?: FencedOptions): Promise<void> {
    return this.#fenced('suspend', id, options, (workload) => workload.suspend());
  }

  resume(id: string, options?: FencedOptions): Promise<void> {
    return this.#fenced('resume', id, options, (workload) => workload.resume());
  }

  remove(id: string, options?: FencedOptions & { force?: boolean }): Promise<void> {
    const { force = false, revision } = options ?? {};
    return this.#call.unary('remove', options, () => this.#host.remove(id, force, revision));
  }

  inspect(id: string, options?: CallOptions): Promise<WorkloadState> {
    return this.#call.unary('inspect', options, () => this.#host.get(id).state());
  }

  list(options?: CallOptions & { labels?: Readonly<Record<string, string>> }): Promise<WorkloadState[]> {
    const wanted = Object.entries(options?.labels ?? {});
    return this.#call.unary('list', options, () =>
      this.#host
        .workloads()
        .filter(({ spec }) => wanted.every(([key, value]) => spec.labels[key] === value))
        .map((workload) => workload.state()),
    );
  }

  events(options?: CallOptions & { after?: string }): AsyncIterable<EngineEvent> {
    return this.#stream('events', options, (signal) => this.#events(options?.after, signal));
  }

  async *#events(after: string | undefined, signal: AbortSignal): AsyncGenerator<EngineEvent> {
    const { events } = this.#host;
    if (after !== undefined && !/^-?\d+$/.test(after)) throw new EruError('invalid', `after: ${after} is no cursor`);
    let position = after === undefined ? events.next : Number(after) + 1;
    const check = (): void => {
      if (position < events.first || position > events.next)
        throw new EruError('compacted', `events after cursor ${position - 1} are gone; list again`);
    };
    check();
    yield { type: 'ready', cursor: String(position - 1) };
    for (;;) {
      await events.grown(position, signal);
      check();
      for (const event of events.since(position)) {
        position += 1;
        yield event;
      }
    }
  }

  wait(id: string, options?: CallOptions): Promise<ExitState> {
    return this.#call.unary('wait', options, async () => {
      const workload = this.#host.get(id);
      await workload.stopped();
      const { exitCode, oomKilled, finishedAtMs, error } = workload.state();
      return { exitCode, oomKilled, finishedAtMs, error };
    });
  }

  logs(id: string, options: LogOptions = {}): AsyncIterable<LogEntry> {
    return this.#stream('logs', options, (signal) => this.#logs(id, options, signal));
  }

  async *#logs(id: string, options: LogOptions, signal: AbortSignal): AsyncGenerator<LogEntry> {
    const { follow = false, tail, sinceMs = 0, untilMs = Number.POSITIVE_INFINITY } = options;
    const { log } = this.#host.get(id);
    const wanted = ({ atMs }: LogEntry): boolean => atMs >= sinceMs && atMs <= untilMs;
    let position = log.next;
    const past = log.since(0).filter(wanted);
    yield* tail === undefined ? past : past.slice(Math.max(0, past.length - tail));
    if (!follow) return;
    for (;;) {
      await log.grown(position, signal);
      const entries = log.since(position);
      if (entries.length === 0 && log.ended) return;
      position = log.next;
      yield* entries.filter(wanted);
    }
  }

  exec(id: string, spec: ExecSpec, options?: CallOptions): Promise<Session> {
    return this.#session('exec', options, () => {
      if (spec.command.length === 0) throw new EruError('invalid', 'command: an exec needs a command');
      return this.#host.get(id).exec(spec);
    });
  }

  attach(id: string, options?: CallOptions): Promise<Session> {
    return this.#session('attach', options, () => this.#host.get(id).attach());
  }

  copyTo(id: string, path: string, tar: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void> {
    return this.#call.unary('copyTo', options, async () => {
      const workload = this.#host.get(id);
      this.#host.copyTo(workload, path, await collect(tar));
    });
  }

  copyFrom(id: string, path: string, options?: CallOptions): AsyncIterable<Uint8Array> {
    const host = this.#host;
    return this.#stream('copyFrom', options, async function* () {
      const archive = host.copyFrom(host.get(id), path);
      for (let at = 0; at < archive.length; at += chunkBytes) yield archive.subarray(at, at + chunkBytes);
    });
  }

  update(id: string, engineParams: EngineParams, options?: FencedOptions): Promise<WorkloadState> {
    return this.#call.unary('update', options, () => {
      const workload = this.#host.get(id);
      this.#host.update(workload, engineParams, options?.revision);
      return workload.state();
    });
  }

  stats(id: string, options?: CallOptions): Promise<WorkloadStats> {
    return this.#call.unary('stats', options, () => {
      const workload = this.#host.get(id);
      return {
        atMs: this.#clock.now(),
        cpuSeconds: workload.cpuSeconds(),
        memoryBytes: workload.running ? 16 * 1024 ** 2 : 0,
        pids: workload.pids(),
        cpuThrottledSeconds: 0,
        oomKills: workload.state().oomKilled ? 1 : 0,
      };
    });
  }

  networkConnect(
    id: string,
    network: string,
    options?: CallOptions & { ipv4?: string; ipv6?: string },
  ): Promise<string[]> {
    return this.#call.unary('networkConnect', options, () => {
      if ((options?.ipv6 ?? '') !== '') throw new EruError('unsupported', 'simulated networks have no IPv6');
      return [this.#host.connect(this.#host.get(id), network, options?.ipv4 ?? '')];
    });
  }

  networkDisconnect(id: string, network: string, options?: CallOptions & { force?: boolean }): Promise<void> {
    return this.#call.unary('networkDisconnect', options, () => this.#host.disconnect(this.#host.get(id), network));
  }

  networkList(options?: CallOptions & { drivers?: readonly string[] }): Promise<EngineNetwork[]> {
    return this.#call.unary('networkList', options, () => this.#host.networks.list(options?.drivers ?? []));
  }

  askNetwork(verb: NetworkQuestion, _request: JsonObject, options?: CallOptions): Promise<Json> {
    return this.#call.unary('askNetwork', options, () => {
      throw new EruError('unsupported', `network ${verb}: a simulated machine has no network daemon`);
    });
  }

  imageList(filter: string, options?: CallOptions): Promise<EngineImage[]> {
    return this.#call.unary('imageList', options, () => this.#host.images.list(filter));
  }

  imagePull(reference: string, options?: CallOptions): AsyncIterable<JsonObject> {
    return this.#progress('imagePull', options, () => this.#host.images.pull(reference));
  }

  imagePush(reference: string, options?: CallOptions): AsyncIterable<JsonObject> {
    return this.#progress('imagePush', options, () => this.#host.images.push(reference));
  }

  imageRemove(reference: string, options?: CallOptions & { force?: boolean; prune?: boolean }): Promise<string[]> {
    return this.#call.unary('imageRemove', options, () => this.#host.removeImage(reference, options?.force ?? false));
  }

  imagePrune(options?: CallOptions): Promise<void> {
    return this.#call.unary('imagePrune', options, () => this.#host.pruneImages());
  }

  imageBuild(build: ImageBuild, context: AsyncIterable<Uint8Array>, options?: CallOptions): AsyncIterable<JsonObject> {
    return this.#progress('imageBuild', options, async () =>
      this.#host.images.build(build, (await collect(context)).length),
    );
  }

  /** Nothing is kept that would make the next build faster. */
  imageBuildPrune(options?: CallOptions): Promise<void> {
    return this.#call.unary('imageBuildPrune', options, () => {});
  }

  imageCommit(id: string, references: readonly string[], options?: CallOptions): Promise<string> {
    return this.#call.unary('imageCommit', options, () => {
      this.#host.get(id);
      return this.#host.images.make(references);
    });
  }

  /** Knows one operation: `echo`. */
  raw(id: string, operation: string, params: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return this.#call.unary('raw', options, () => {
      this.#host.get(id);
      if (operation !== 'echo')
        throw new EruError('unsupported', `operation ${operation}: a simulated engine has echo`);
      return params;
    });
  }

  close(): Promise<void> {
    this.#onClose();
    return Promise.resolve();
  }

  #fenced(
    verb: EngineVerb,
    id: string,
    options: (FencedOptions & { graceMs?: number }) | undefined,
    effect: (workload: SimulatedWorkload) => void | Promise<void>,
  ): Promise<void> {
    return this.#call.unary(verb, options, () => {
      const workload = this.#host.get(id);
      workload.fence(options?.revision);
      return effect(workload);
    });
  }

  /** A session whose opening reply is lost is closed: its connection is gone, and its command with it. */
  async #session(verb: EngineVerb, options: CallOptions | undefined, open: () => Session): Promise<Session> {
    const opened: { session?: Session } = {};
    let left = false;
    const signal = this.#call.signal(options);
    const close = (): void => void opened.session?.close();
    try {
      const session = await this.#call.unary(verb, options, () => {
        opened.session = open();
        if (left) close();
        return opened.session;
      });
      signal.addEventListener('abort', close, { once: true });
      const over = (): void => signal.removeEventListener('abort', close);
      session.exit.then(over, over);
      return session;
    } catch (error) {
      left = true;
      close();
      throw error;
    }
  }

  #progress(
    verb: EngineVerb,
    options: CallOptions | undefined,
    effect: () => JsonObject[] | Promise<JsonObject[]>,
  ): AsyncIterable<JsonObject> {
    return this.#stream(verb, options, async function* () {
      yield* await effect();
    });
  }

  /** The way there and back of a stream; every item is waited for under the caller's signal. */
  async *#stream<T>(
    verb: EngineVerb,
    options: CallOptions | undefined,
    items: (signal: AbortSignal) => AsyncGenerator<T>,
  ): AsyncGenerator<T> {
    const signal = this.#call.signal(options);
    const waiting = { signal, ...(options?.timeoutMs !== undefined && { timeoutMs: options.timeoutMs }) };
    await waitFor(this.#call.enter(verb), verb, waiting, this.#clock);
    try {
      yield* items(signal);
    } catch (error) {
      throw EruError.from(error);
    }
    await waitFor(this.#call.leave(verb), verb, waiting, this.#clock);
  }
}

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}
