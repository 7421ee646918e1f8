import { EruError, invalid, systemClock, systemRandom } from '@eru/kit';
import type { Clock, Json, JsonObject, Random } from '@eru/kit';
import { constants } from 'node:os';

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
import { attachTo } from './attach.ts';
import { DockerBuilds } from './builds.ts';
import { Calls } from './calls.ts';
import { DockerContainers } from './containers.ts';
import { checkSpec, defaultSettings, type DockerSettings } from './create-body.ts';
import type { DockerAddress } from './endpoint.ts';
import { containerEvents } from './events.ts';
import { execIn } from './exec.ts';
import { DockerHttp } from './http-client.ts';
import { DockerImages } from './images.ts';
import { insideTarget } from './inside-target.ts';
import { containerLogs } from './logs.ts';
import { DockerNetworks } from './networks.ts';
import type { Container } from './wire-types.ts';

export interface DockerEngineOptions {
  address: DockerAddress;
  settings?: Partial<DockerSettings> | undefined;
  clock?: Clock;
  random?: Random;
}

/** A docker daemon as an engine. What it cannot do is in docs/engines.md. */
export class DockerEngine implements Engine {
  readonly #http: DockerHttp;
  readonly #local: boolean;
  readonly #calls: Calls;
  readonly #containers: DockerContainers;
  readonly #images: DockerImages;
  readonly #builds: DockerBuilds;
  readonly #networks: DockerNetworks;

  constructor({ address, settings, clock = systemClock, random = systemRandom }: DockerEngineOptions) {
    const all = { ...defaultSettings, ...settings };
    const http = new DockerHttp(address);
    this.#http = http;
    this.#local = address.local;
    this.#calls = new Calls(clock);
    this.#images = new DockerImages(http);
    this.#builds = new DockerBuilds(http);
    this.#networks = new DockerNetworks(http);
    this.#containers = new DockerContainers({ http, address, networks: this.#networks, settings: all, clock, random });
  }

  async info(options: CallOptions = {}): Promise<EngineInfo> {
    return this.#calls.within('info', options, async (signal) => {
      const info = await this.#containers.machine(signal, true);
      const daemon = await this.#http.daemon();
      return {
        type: 'docker',
        // Podman's is another one at each call.
        id: daemon === 'podman' ? `${info.Name}:${info.DockerRootDir}` : info.ID,
        cpus: info.NCPU,
        memoryBytes: info.MemTotal,
        storageBytes: 0,
        resources: {},
        offers: [
          `${daemon} ${info.ServerVersion}`,
          `cgroup v${info.CgroupVersion ?? '1'} by ${info.CgroupDriver ?? 'cgroupfs'}`,
          `layers by ${info.Driver}`,
          ...Object.keys(info.Runtimes ?? {}).map((runtime) => `runtime ${runtime}`),
        ],
        missing: (info.Warnings ?? []).map((warning) => warning.replace(/^WARNING: /, '')),
      };
    });
  }

  async ping(options: CallOptions = {}): Promise<void> {
    await this.#calls.within('ping', options, async (signal) => {
      (await this.#http.stream({ method: 'GET', path: '/_ping', signal })).resume();
    });
  }

  async create(spec: WorkloadSpec, options: FencedOptions = {}): Promise<WorkloadState> {
    checkSpec(spec);
    return this.#calls.within('create', options, (signal) => this.#containers.create(spec, options.revision, signal));
  }

  async start(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#calls.within('start', options, async (signal) => {
      await this.#containers.pass(id, options.revision, signal);
      await this.#containers.post(id, 'start', signal);
    });
  }

  async stop(id: string, options: FencedOptions & { graceMs?: number } = {}): Promise<void> {
    const { revision, graceMs = dockersGraceMs } = options;
    const work = async (signal: AbortSignal): Promise<void> =>
      this.#containers.stop(await this.#containers.pass(id, revision, signal), graceMs, signal);
    await this.#calls.within('stop', options, work, graceMs);
  }

  async kill(id: string, name: string, options: CallOptions = {}): Promise<void> {
    if (!(name in constants.signals) && !/^\d+$/.test(name))
      throw invalid('signal', name, 'give a name such as SIGHUP');
    await this.#calls.within('kill', options, (signal) => this.#containers.kill(id, name, signal));
  }

  async suspend(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#calls.within('suspend', options, async (signal) => {
      const container = await this.#containers.pass(id, options.revision, signal);
      if (!container.State.Running) throw doesNotRun(id);
      if (!container.State.Paused) await this.#containers.post(id, 'pause', signal);
    });
  }

  async resume(id: string, options: FencedOptions = {}): Promise<void> {
    await this.#calls.within('resume', options, async (signal) => {
      const container = await this.#containers.pass(id, options.revision, signal);
      if (!container.State.Running) throw doesNotRun(id);
      if (container.State.Paused) await this.#containers.post(id, 'unpause', signal);
    });
  }

  async remove(id: string, options: FencedOptions & { force?: boolean } = {}): Promise<void> {
    const { force = false, revision } = options;
    await this.#calls.within('remove', options, (signal) => this.#containers.remove(id, force, revision, signal));
  }

  async inspect(id: string, options: CallOptions = {}): Promise<WorkloadState> {
    return this.#calls.within('inspect', options, (signal) => this.#containers.state(id, signal));
  }

  async list(options: CallOptions & { labels?: Readonly<Record<string, string>> } = {}): Promise<WorkloadState[]> {
    return this.#calls.within('list', options, (signal) => this.#containers.list(options.labels ?? {}, signal));
  }

  events({ after, signal }: CallOptions & { after?: string } = {}): AsyncGenerator<EngineEvent> {
    return this.#calls.stream(signal, (both) => containerEvents(this.#http, after, both));
  }

  async wait(id: string, options: CallOptions = {}): Promise<ExitState> {
    return this.#calls.within('wait', options, (signal) => this.#containers.ended(id, signal));
  }

  logs(id: string, options: LogOptions = {}): AsyncGenerator<LogEntry> {
    const inspect = (signal: AbortSignal): Promise<Container> => this.#containers.inspect(id, signal);
    return this.#calls.stream(options.signal, (signal) => containerLogs(this.#http, inspect, id, options, signal));
  }

  async exec(id: string, spec: ExecSpec, options: CallOptions = {}): Promise<Session> {
    if (spec.command.length === 0) throw invalid('commands', '', 'give a command');
    return this.#session('exec', id, options, async ({ Id, State }, signal) => {
      if (State.Paused)
        throw new EruError('precondition', `container ${id} is paused; it runs commands once it is resumed`);
      if (State.Restarting) throw doesNotRun(id);
      return execIn(this.#http, this.#local, Id, spec, signal, this.#calls.closed);
    });
  }

  async attach(id: string, options: CallOptions = {}): Promise<Session> {
    const { closed } = this.#calls;
    return this.#session('attach', id, options, (container, signal) => {
      const exit = async (left: AbortSignal): Promise<number> => (await this.#containers.ended(id, left)).exitCode;
      return attachTo(this.#http, container, exit, signal, closed);
    });
  }

  async copyTo(id: string, path: string, tar: AsyncIterable<Uint8Array>, options: CallOptions = {}): Promise<void> {
    await this.#calls.within('copyTo', options, async (signal) => {
      // Podman would take an entry such as `../x` for one of the container's root.
      const body = (await this.#http.daemon()) === 'podman' ? insideTarget(tar) : tar;
      const request = { method: 'PUT', path: `/containers/${id}/archive`, query: { path }, signal } as const;
      await this.#http.json({ ...request, body, headers: { 'content-type': 'application/x-tar' } });
    });
  }

  copyFrom(id: string, path: string, options: CallOptions = {}): AsyncGenerator<Uint8Array> {
    return this.#calls.stream(options.signal, (signal) => this.#archive(id, path, signal));
  }

  async update(id: string, engineParams: EngineParams, options: FencedOptions = {}): Promise<WorkloadState> {
    return this.#calls.within('update', options, async (signal) =>
      this.#containers.update(await this.#containers.pass(id, options.revision, signal), engineParams, signal),
    );
  }

  async stats(id: string, options: CallOptions = {}): Promise<WorkloadStats> {
    return this.#calls.within('stats', options, (signal) => this.#containers.stats(id, signal));
  }

  async networkConnect(
    id: string,
    network: string,
    options: CallOptions & { ipv4?: string; ipv6?: string } = {},
  ): Promise<string[]> {
    return this.#calls.within('networkConnect', options, (signal) =>
      this.#networks.connect(id, network, options, signal),
    );
  }

  async networkDisconnect(id: string, network: string, options: CallOptions & { force?: boolean } = {}): Promise<void> {
    const { force = false } = options;
    await this.#calls.within('networkDisconnect', options, (signal) =>
      this.#networks.disconnect(id, network, force, signal),
    );
  }

  async networkList(options: CallOptions & { drivers?: readonly string[] } = {}): Promise<EngineNetwork[]> {
    return this.#calls.within('networkList', options, (signal) => this.#networks.list(options.drivers ?? [], signal));
  }

  async askNetwork(verb: NetworkQuestion): Promise<Json> {
    throw new EruError('unsupported', `network ${verb}: docker knows no network daemon; its node needs an eru runtime`);
  }

  async imageList(filter: string, options: CallOptions = {}): Promise<EngineImage[]> {
    return this.#calls.within('imageList', options, (signal) => this.#images.list(filter, signal));
  }

  imagePull(reference: string, options: ImageOptions = {}): AsyncGenerator<JsonObject> {
    const { registries = {} } = options;
    return this.#calls.stream(options.signal, (signal) => this.#images.pull(reference, registries, signal));
  }

  imagePush(reference: string, options: ImageOptions = {}): AsyncGenerator<JsonObject> {
    const { registries = {} } = options;
    return this.#calls.stream(options.signal, (signal) => this.#images.push(reference, registries, signal));
  }

  async imageRemove(
    reference: string,
    options: CallOptions & { force?: boolean; prune?: boolean } = {},
  ): Promise<string[]> {
    const { force = false, prune = false } = options;
    return this.#calls.within('imageRemove', options, (signal) => this.#images.remove(reference, force, prune, signal));
  }

  async imagePrune(options: CallOptions = {}): Promise<void> {
    await this.#calls.within('imagePrune', options, (signal) => this.#images.prune(signal));
  }

  imageBuild(
    build: ImageBuild,
    context: AsyncIterable<Uint8Array>,
    options: ImageOptions = {},
  ): AsyncGenerator<JsonObject> {
    const { registries = {} } = options;
    return this.#calls.stream(options.signal, (signal) => this.#builds.build(build, context, registries, signal));
  }

  async imageBuildPrune(options: CallOptions = {}): Promise<void> {
    await this.#calls.within('imageBuildPrune', options, (signal) => this.#builds.prune(signal));
  }

  async imageCommit(id: string, references: readonly string[], options: CallOptions = {}): Promise<string> {
    return this.#calls.within('imageCommit', options, (signal) => this.#builds.commit(id, references, signal));
  }

  async raw(id: string, operation: string, _params: Uint8Array, options: CallOptions = {}): Promise<Uint8Array> {
    return this.#calls.within('raw', options, async (signal) => {
      await this.#containers.inspect(id, signal);
      throw new EruError('unsupported', `raw operation ${operation}: docker has none`);
    });
  }

  close(): Promise<void> {
    this.#calls.close();
    this.#http.close();
    return Promise.resolve();
  }

  /** Opened within the call's time, and ended with the caller's signal. */
  async #session(
    verb: 'exec' | 'attach',
    id: string,
    options: CallOptions,
    open: (container: Container, signal: AbortSignal) => Promise<Session>,
  ): Promise<Session> {
    const session = await this.#calls.within(verb, options, async (signal) => {
      const container = await this.#containers.inspect(id, signal);
      if (!container.State.Running) throw doesNotRun(id);
      return open(container, signal);
    });
    const leave = (): void => void session.close().catch(() => {}); // Its exit says that it was lost.
    if (options.signal?.aborted === true) leave();
    options.signal?.addEventListener('abort', leave, { once: true });
    session.exit.catch(() => {}).finally(() => options.signal?.removeEventListener('abort', leave));
    return session;
  }

  async *#archive(id: string, path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    yield* await this.#http.stream({ method: 'GET', path: `/containers/${id}/archive`, query: { path }, signal });
  }
}

/** What docker waits for at a stop without a time of its own; Podman would kill at once. */
const dockersGraceMs = 10_000;

function doesNotRun(id: string): EruError {
  return new EruError('precondition', `container ${id} does not run`);
}
