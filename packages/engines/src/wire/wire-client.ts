import { create, client, connect, engine as wire } from '@eru/contract';
import type { CallOptions as WireOptions, Channel, Client, ClientTls } from '@eru/contract';
import type { Json, JsonObject } from '@eru/kit';
import { toSafeNumber } from '@eru/kit';

import type { EngineVerb } from '../call-limit.ts';
import { callLimitMs } from '../call-limit.ts';
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
} from '../engine.ts';
import { openSession } from './wire-session.ts';
import {
  fromEvent,
  fromExit,
  fromInfo,
  fromJson,
  fromLogEntry,
  fromWorkload,
  instant,
  parts,
  toJsonMap,
  toSpec,
} from './wire.ts';

/**
 * The engine behind a node daemon's address (`unix:///path`, `host:port`). Nothing is sent before the first call. `limitMs`: how long
 * it may take over a call whose caller does not say, in place of each verb's own time.
 */
export function connectEngine({
  address,
  tls,
  limitMs,
}: {
  address: string;
  tls?: ClientTls;
  limitMs?: number;
}): Engine {
  const channel = connect(address, tls === undefined ? {} : { tls });
  return new WireEngine(client(wire.Engine, channel), channel, limitMs);
}

class WireEngine implements Engine {
  readonly #calls: Client<typeof wire.Engine>;
  readonly #channel: Channel;
  readonly #limitMs: number | undefined;
  readonly #closed = new AbortController();

  constructor(calls: Client<typeof wire.Engine>, channel: Channel, limitMs: number | undefined) {
    this.#calls = calls;
    this.#channel = channel;
    this.#limitMs = limitMs;
  }

  async info(options?: CallOptions): Promise<EngineInfo> {
    return fromInfo(await this.#calls.info({}, this.#limited('info', options)));
  }

  async ping(options?: CallOptions): Promise<void> {
    await this.#calls.ping({}, this.#limited('ping', options));
  }

  async create(spec: WorkloadSpec, options?: FencedOptions): Promise<WorkloadState> {
    const request = { spec: toSpec(spec), ...revisionOf(options) };
    return fromWorkload(await this.#calls.create(request, this.#limited('create', options)));
  }

  async start(id: string, options?: FencedOptions): Promise<void> {
    await this.#calls.start({ id, ...revisionOf(options) }, this.#limited('start', options));
  }

  async stop(id: string, options?: FencedOptions & { graceMs?: number }): Promise<void> {
    const graceMs = options?.graceMs;
    const request = { id, ...revisionOf(options), ...(graceMs !== undefined && { graceMs: instant(graceMs) }) };
    await this.#calls.stop(request, this.#limited('stop', options));
  }

  async kill(id: string, signal: string, options?: CallOptions): Promise<void> {
    await this.#calls.kill({ id, signal }, this.#limited('kill', options));
  }

  async suspend(id: string, options?: FencedOptions): Promise<void> {
    await this.#calls.suspend({ id, ...revisionOf(options) }, this.#limited('suspend', options));
  }

  async resume(id: string, options?: FencedOptions): Promise<void> {
    await this.#calls.resume({ id, ...revisionOf(options) }, this.#limited('resume', options));
  }

  async remove(id: string, options?: FencedOptions & { force?: boolean }): Promise<void> {
    const request = { id, force: options?.force ?? false, ...revisionOf(options) };
    await this.#calls.remove(request, this.#limited('remove', options));
  }

  async inspect(id: string, options?: CallOptions): Promise<WorkloadState> {
    return fromWorkload(await this.#calls.inspect({ id }, this.#limited('inspect', options)));
  }

  async list(options?: CallOptions & { labels?: Readonly<Record<string, string>> }): Promise<WorkloadState[]> {
    const found: WorkloadState[] = [];
    const request = { labels: { ...options?.labels } };
    for await (const workload of this.#calls.list(request, this.#limited('list', options)))
      found.push(fromWorkload(workload));
    return found;
  }

  async *events(options?: CallOptions & { after?: string }): AsyncGenerator<EngineEvent> {
    const request = { after: options?.after ?? '' };
    for await (const event of this.#calls.events(request, this.#unlimited(options))) yield fromEvent(event);
  }

  async wait(id: string, options?: CallOptions): Promise<ExitState> {
    return fromExit(await this.#calls.wait({ id }, this.#limited('wait', options)));
  }

  async *logs(id: string, options: LogOptions = {}): AsyncGenerator<LogEntry> {
    const { follow = false, tail, sinceMs, untilMs } = options;
    const request = {
      id,
      follow,
      grouped: true,
      ...(tail !== undefined && { tail }),
      ...(sinceMs !== undefined && { sinceMs: instant(sinceMs) }),
      ...(untilMs !== undefined && { untilMs: instant(untilMs) }),
    };
    for await (const entry of this.#calls.logs(request, this.#unlimited(options))) {
      yield fromLogEntry(entry);
      for (const next of entry.more) yield fromLogEntry(next);
    }
  }

  exec(id: string, spec: ExecSpec, options?: CallOptions): Promise<Session> {
    const open = { ...spec, id, command: [...spec.command], env: [...spec.env] };
    return openSession(
      create(wire.ExecRequestSchema, { request: { case: 'open', value: open } }),
      (input) => create(wire.ExecRequestSchema, { request: { case: 'input', value: input } }),
      (requests, signal) => this.#calls.exec(requests, { signal }),
      'exec',
      this.#limited('exec', options),
    );
  }

  attach(id: string, options?: CallOptions): Promise<Session> {
    return openSession(
      create(wire.AttachRequestSchema, { request: { case: 'open', value: { id } } }),
      (input) => create(wire.AttachRequestSchema, { request: { case: 'input', value: input } }),
      (requests, signal) => this.#calls.attach(requests, { signal }),
      'attach',
      this.#limited('attach', options),
    );
  }

  async copyTo(id: string, path: string, tar: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void> {
    const failed: { error?: unknown } = {};
    const requests = async function* () {
      yield { request: { case: 'open' as const, value: { id, path } } };
      try {
        for await (const chunk of tar)
          for (const part of parts(chunk)) yield { request: { case: 'data' as const, value: part } };
      } catch (error) {
        failed.error = error;
        throw error;
      }
    };
    try {
      await this.#calls.copyTo(requests(), this.#limited('copyTo', options));
    } catch (error) {
      // A tar that breaks off cancels the call; why it broke off says more.
      throw failed.error ?? error;
    }
  }

  async *copyFrom(id: string, path: string, options?: CallOptions): AsyncGenerator<Uint8Array> {
    for await (const { data } of this.#calls.copyFrom({ id, path }, this.#unlimited(options))) yield data;
  }

  async update(id: string, engineParams: EngineParams, options?: FencedOptions): Promise<WorkloadState> {
    const request = { id, engineParams: toJsonMap(engineParams), ...revisionOf(options) };
    return fromWorkload(await this.#calls.update(request, this.#limited('update', options)));
  }

  async stats(id: string, options?: CallOptions): Promise<WorkloadStats> {
    const stats = await this.#calls.stats({ id }, this.#limited('stats', options));
    const { cpuSeconds, pids, cpuThrottledSeconds } = stats;
    return {
      atMs: toSafeNumber(stats.atMs),
      cpuSeconds,
      memoryBytes: toSafeNumber(stats.memoryBytes),
      pids,
      cpuThrottledSeconds,
      oomKills: toSafeNumber(stats.oomKills),
    };
  }

  async networkConnect(
    id: string,
    network: string,
    options?: CallOptions & { ipv4?: string; ipv6?: string },
  ): Promise<string[]> {
    const { ipv4 = '', ipv6 = '' } = options ?? {};
    const request = { id, network, ipv4, ipv6 };
    return (await this.#calls.networkConnect(request, this.#limited('networkConnect', options))).addresses;
  }

  async networkDisconnect(id: string, network: string, options?: CallOptions & { force?: boolean }): Promise<void> {
    const request = { id, network, force: options?.force ?? false };
    await this.#calls.networkDisconnect(request, this.#limited('networkDisconnect', options));
  }

  async networkList(options?: CallOptions & { drivers?: readonly string[] }): Promise<EngineNetwork[]> {
    const request = { drivers: [...(options?.drivers ?? [])] };
    const { networks } = await this.#calls.networkList(request, this.#limited('networkList', options));
    return networks.map(({ name, driver, subnets }) => ({ name, driver, subnets }));
  }

  async askNetwork(verb: NetworkQuestion, request: JsonObject, options?: CallOptions): Promise<Json> {
    const asked = { verb, request: JSON.stringify(request) };
    const { answer } = await this.#calls.askNetwork(asked, this.#limited('askNetwork', options));
    return JSON.parse(answer) as Json;
  }

  async imageList(filter: string, options?: CallOptions): Promise<EngineImage[]> {
    const { images } = await this.#calls.imageList({ filter }, this.#limited('imageList', options));
    return images.map(({ id, tags }) => ({ id, tags }));
  }

  imagePull(reference: string, options?: ImageOptions): AsyncIterable<JsonObject> {
    return progress(this.#calls.imagePull({ reference, ...registriesOf(options) }, this.#unlimited(options)));
  }

  imagePush(reference: string, options?: ImageOptions): AsyncIterable<JsonObject> {
    return progress(this.#calls.imagePush({ reference, ...registriesOf(options) }, this.#unlimited(options)));
  }

  async imageRemove(
    reference: string,
    options?: CallOptions & { force?: boolean; prune?: boolean },
  ): Promise<string[]> {
    const { force = false, prune = false } = options ?? {};
    const request = { reference, force, prune };
    return (await this.#calls.imageRemove(request, this.#limited('imageRemove', options))).removed;
  }

  async imagePrune(options?: CallOptions): Promise<void> {
    await this.#calls.imagePrune({}, this.#limited('imagePrune', options));
  }

  imageBuild(build: ImageBuild, context: AsyncIterable<Uint8Array>, options?: ImageOptions): AsyncIterable<JsonObject> {
    const requests = async function* () {
      const { references, platform } = build;
      const value = { references: [...references], platform, ...registriesOf(options) };
      yield { request: { case: 'open' as const, value } };
      for await (const chunk of context)
        for (const part of parts(chunk)) yield { request: { case: 'context' as const, value: part } };
    };
    return progress(this.#calls.imageBuild(requests(), this.#unlimited(options)));
  }

  async imageBuildPrune(options?: CallOptions): Promise<void> {
    await this.#calls.imageBuildPrune({}, this.#limited('imageBuildPrune', options));
  }

  async imageCommit(id: string, references: readonly string[], options?: CallOptions): Promise<string> {
    const request = { id, references: [...references] };
    return (await this.#calls.imageCommit(request, this.#limited('imageCommit', options))).image;
  }

  async raw(id: string, operation: string, params: Uint8Array, options?: CallOptions): Promise<Uint8Array> {
    return (await this.#calls.raw({ id, operation, params }, this.#limited('raw', options))).data;
  }

  close(): Promise<void> {
    this.#closed.abort();
    this.#channel.close();
    return Promise.resolve();
  }

  #limited(
    verb: EngineVerb,
    options: (CallOptions & { graceMs?: number }) | undefined,
  ): { signal: AbortSignal; timeoutMs: number } {
    const limitMs = options?.timeoutMs ?? (verb === 'wait' ? undefined : this.#limitMs);
    return { signal: this.#signal(options), timeoutMs: callLimitMs(verb, limitMs, options?.graceMs) };
  }

  /** Streams live as long as the caller wants. */
  #unlimited(options: CallOptions | undefined): WireOptions {
    const timeoutMs = options?.timeoutMs;
    return { signal: this.#signal(options), ...(timeoutMs !== undefined && { timeoutMs }) };
  }

  #signal(options: CallOptions | undefined): AbortSignal {
    const closed = this.#closed.signal;
    return options?.signal === undefined ? closed : AbortSignal.any([options.signal, closed]);
  }
}

function registriesOf(options: ImageOptions | undefined): {
  registries?: Record<string, { username: string; password: string }>;
} {
  return options?.registries === undefined ? {} : { registries: { ...options.registries } };
}

function revisionOf(options: FencedOptions | undefined): { revision?: bigint } {
  return options?.revision === undefined ? {} : { revision: BigInt(options.revision) };
}

async function* progress(messages: AsyncIterable<wire.ImageProgress>): AsyncGenerator<JsonObject> {
  for await (const { json } of messages) yield fromJson(json, 'progress');
}
