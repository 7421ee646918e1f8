import { backoff, deadline, EruError, isEruError, limitConcurrency } from '@eru/kit';
import type { Clock, Random } from '@eru/kit';

import { callLimitMs } from '../call-limit.ts';
import type { EngineParams, ExitState, WorkloadSpec, WorkloadState, WorkloadStats } from '../engine.ts';
import { labelNames } from '../engine.ts';
import { createBody, furtherNetworks, portNames, portsLabel, type DockerSettings } from './create-body.ts';
import { defaultUlimits } from './default-ulimits.ts';
import type { DockerAddress } from './endpoint.ts';
import { enforcedLimits, killsOf } from './enforced-limits.ts';
import { Fence } from './fence.ts';
import type { DockerHttp, DockerRequest } from './http-client.ts';
import { withoutImage } from './images.ts';
import { inspectContainer } from './inspect.ts';
import type { DockerNetworks } from './networks.ts';
import { choosePorts } from './ports.ts';
import { updateOf } from './resources.ts';
import { runState, stateOf } from './state.ts';
import type { Container, CreateBody, DockerInfo, DockerStats } from './wire-types.ts';

export interface ContainersOptions {
  http: DockerHttp;
  address: DockerAddress;
  networks: DockerNetworks;
  settings: DockerSettings;
  clock: Clock;
  random: Random;
}

/** Containers asked about at once. */
const atOnce = 16;

/** The containers of one daemon: what is done to them, and what is known of them. */
export class DockerContainers {
  readonly #options: ContainersOptions;
  readonly #http: DockerHttp;
  readonly #fence = new Fence();
  readonly #limit = limitConcurrency(atOnce);
  #info: DockerInfo | undefined;

  constructor(options: ContainersOptions) {
    this.#options = options;
    this.#http = options.http;
  }

  /** The daemon's own word about its machine; asked once unless `fresh`. */
  async machine(signal: AbortSignal, fresh = false): Promise<DockerInfo> {
    if (this.#info === undefined || fresh)
      this.#info = await this.#http.json<DockerInfo>({ method: 'GET', path: '/info', signal });
    return this.#info;
  }

  /** Made, or found by its name if the same operation has made it. */
  async create(spec: WorkloadSpec, revision: number | undefined, signal: AbortSignal): Promise<WorkloadState> {
    const { settings, address, networks, random } = this.#options;
    const daemon = await this.#http.daemon();
    const names = portNames(spec.publish);
    const info = await this.machine(signal);
    const taken = names.length === 0 ? new Set<number>() : await this.#portsTaken(signal);
    const body = createBody(spec, {
      settings,
      host: address.host,
      daemon,
      ulimits: defaultUlimits(address.local, daemon),
      ports: choosePorts(names, taken, random),
      logDriver: info.LoggingDriver ?? '',
    });
    const id = await this.#make(spec, body, signal);
    if (id === undefined) return this.#found(spec, revision, signal);
    try {
      for (const { network, ...wanted } of furtherNetworks(spec)) await networks.connect(id, network, wanted, signal);
    } catch (error) {
      // Nothing is left behind; the first failure is told.
      await this.remove(id, true, undefined, AbortSignal.timeout(callLimitMs('remove', undefined))).catch(() => {});
      throw error;
    }
    this.#fence.pass(id, revision);
    return this.state(id, signal);
  }

  async inspect(id: string, signal: AbortSignal): Promise<Container> {
    return inspectContainer(this.#http, id, signal);
  }

  /** For an effect that carries this revision. @throws EruError `fenced` */
  async pass(id: string, revision: number | undefined, signal: AbortSignal): Promise<Container> {
    const container = await this.inspect(id, signal);
    this.#fence.pass(container.Id, revision);
    return container;
  }

  async state(id: string, signal: AbortSignal): Promise<WorkloadState> {
    const container = await this.inspect(id, signal);
    const { NCPU: cores } = await this.machine(signal);
    const { local, host } = this.#options.address;
    const { Id, State } = container;
    const enforced = local && State.Running ? enforcedLimits(Id, State.Pid) : undefined;
    return stateOf(container, { cores, host, revision: this.#fence.of(Id), enforced });
  }

  /** Those of Eru with all these labels, in name order. */
  async list(labels: Readonly<Record<string, string>>, signal: AbortSignal): Promise<WorkloadState[]> {
    const label = [labelNames.eru, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)];
    const query = { all: true, filters: JSON.stringify({ label }) };
    const listed = await this.#http.json<{ Id: string }[]>({ method: 'GET', path: '/containers/json', query, signal });
    const states = await Promise.all(
      listed.map(({ Id }) =>
        this.#limit(() => this.state(Id, signal)).catch((error: unknown) => {
          if (isEruError(error, 'not_found')) return undefined; // removed since it was listed
          throw error;
        }),
      ),
    );
    return states
      .filter((state) => state !== undefined)
      .toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  }

  async post(id: string, verb: string, signal: AbortSignal, query: DockerRequest['query'] = {}): Promise<void> {
    await this.#http.json({ method: 'POST', path: `/containers/${id}/${verb}`, query, signal });
  }

  async kill(id: string, name: string, signal: AbortSignal): Promise<void> {
    await this.post(id, 'kill', signal, { signal: name });
  }

  async stop(container: Container, graceMs: number, signal: AbortSignal): Promise<void> {
    const { Id, HostConfig, State } = container;
    // Docker starts `always` again when its daemon starts, even what was stopped. (Podman cannot change it.)
    if (HostConfig.RestartPolicy?.Name === 'always' && (await this.#http.daemon()) === 'docker')
      await this.#change(Id, { RestartPolicy: { Name: 'unless-stopped' } }, signal);
    if (State.Paused) await this.post(Id, 'unpause', signal).catch(unless('precondition'));
    if (graceMs === 0) await this.kill(Id, 'SIGKILL', signal).catch(unless('precondition'));
    // Docker counts whole seconds; parts of them we wait ourselves.
    const whole = graceMs % 1000 === 0;
    if (!whole) await this.#lead(container, graceMs, signal);
    await this.post(Id, 'stop', signal, { t: whole ? graceMs / 1000 : 0 });
    await this.ended(Id, signal);
  }

  /** Resolves when it does not run and will not be started again by its policy. */
  async ended(id: string, signal: AbortSignal): Promise<ExitState> {
    for (;;) {
      const container = await this.inspect(id, signal);
      const run = runState(container);
      if (run === 'exited' || run === 'created') return stateOf(container, { cores: 0, host: '', revision: 0 });
      await this.post(id, 'wait', signal, { condition: 'not-running' });
    }
  }

  /** Resolves when it is gone. @throws EruError `fenced` */
  async remove(id: string, force: boolean, revision: number | undefined, signal: AbortSignal): Promise<void> {
    this.#fence.pass(id, revision);
    try {
      await this.#http.json({ method: 'DELETE', path: `/containers/${id}`, query: { force, v: true }, signal });
    } catch (error) {
      const { code, message } = EruError.from(error);
      const goes = /already in progress/i.test(message);
      if (code !== 'not_found' && !goes) throw error;
      if (goes) await this.post(id, 'wait', signal, { condition: 'removed' }).catch(unless('not_found'));
    }
    this.#fence.forget(id);
  }

  async update({ Id, HostConfig }: Container, engineParams: EngineParams, signal: AbortSignal): Promise<WorkloadState> {
    if ((await this.#http.daemon()) === 'podman')
      throw new EruError('unsupported', 'limits: podman keeps no change of them over a restart; replace the container');
    const { NCPU: cores } = await this.machine(signal);
    await this.#change(Id, updateOf(engineParams, HostConfig, cores), signal);
    return this.state(Id, signal);
  }

  async stats(id: string, signal: AbortSignal): Promise<WorkloadStats> {
    const query = { stream: false, 'one-shot': true };
    const [stats, { Id, State }] = await Promise.all([
      this.#http.json<DockerStats>({ method: 'GET', path: `/containers/${id}/stats`, query, signal }),
      this.inspect(id, signal),
    ]);
    return {
      atMs: Math.max(0, Date.parse(stats.read) || this.#options.clock.now()),
      cpuSeconds: (stats.cpu_stats?.cpu_usage?.total_usage ?? 0) / 1e9,
      memoryBytes: stats.memory_stats?.usage ?? 0,
      pids: stats.pids_stats?.current ?? 0,
      cpuThrottledSeconds: (stats.cpu_stats?.throttling_data?.throttled_time ?? 0) / 1e9,
      oomKills: this.#options.address.local ? killsOf(Id, State.Pid) : Number(State.OOMKilled),
    };
  }

  async #change(id: string, json: object, signal: AbortSignal): Promise<void> {
    await this.#http.json({ method: 'POST', path: `/containers/${id}/update`, json, signal });
  }

  async #portsTaken(signal: AbortSignal): Promise<Set<number>> {
    const query = { all: true, filters: JSON.stringify({ label: [portsLabel] }) };
    const request = { method: 'GET', path: '/containers/json', query, signal } as const;
    const listed = await this.#http.json<{ Labels: Record<string, string> }[]>(request);
    return new Set(
      listed.flatMap(({ Labels }) => Object.values(JSON.parse(Labels[portsLabel] ?? '{}') as Record<string, number>)),
    );
  }

  /** Undefined when there is a container of this name. */
  async #make(spec: WorkloadSpec, json: CreateBody, signal: AbortSignal): Promise<string | undefined> {
    const create = { method: 'POST', path: '/containers/create', query: { name: spec.name }, json, signal } as const;
    for (let attempt = 1; ; attempt++) {
      try {
        return (await this.#http.json<{ Id: string }>(create)).Id;
      } catch (error) {
        const known = EruError.from(error);
        if (!/is already in use|name .* in use/i.test(known.message))
          throw withoutQuota(withoutImage(known, spec.image), json.HostConfig.StorageOpt?.['size']);
      }
      try {
        await this.inspect(spec.name, signal);
        return undefined;
      } catch (error) {
        // Another call has taken the name and is about to make it, or has just removed it.
        if (!isEruError(error, 'not_found')) throw error;
        await this.#options.clock.sleep(
          backoff(attempt, { baseMs: 20, maxMs: 500, random: this.#options.random }),
          signal,
        );
      }
    }
  }

  /** The object of this name, if the same operation has made it. */
  async #found(spec: WorkloadSpec, revision: number | undefined, signal: AbortSignal): Promise<WorkloadState> {
    const container = await this.inspect(spec.name, signal);
    const label = labelNames.operation;
    if (container.Config.Labels?.[label] !== spec.labels[label])
      throw new EruError('exists', `name ${spec.name} belongs to another container on this node`);
    this.#fence.pass(container.Id, revision);
    return this.state(container.Id, signal);
  }

  /** Sends the stop signal and lets the grace time pass, or the container end. */
  async #lead({ Id, Config }: Container, graceMs: number, signal: AbortSignal): Promise<void> {
    try {
      await this.kill(Id, Config.StopSignal ?? 'SIGTERM', signal);
    } catch (error) {
      if (isEruError(error, 'precondition')) return; // does not run
      throw error;
    }
    const grace = deadline(this.#options.clock, graceMs, signal);
    try {
      await this.ended(Id, grace.signal);
    } catch (error) {
      if (signal.aborted || !grace.signal.aborted) throw error;
    } finally {
      grace.clear();
    }
  }
}

/** For a call whose purpose is fulfilled when it is refused so. */
function unless(code: 'precondition' | 'not_found'): (error: unknown) => void {
  return (error) => {
    if (!isEruError(error, code)) throw error;
  };
}

/** The word for a daemon whose graph driver sets no limit to a container's layer. */
function withoutQuota(error: EruError, size: string | undefined): EruError {
  if (error.code !== 'unsupported' || size === undefined) return error;
  const remedy = 'ask for no more storage than the volumes have, or put the data of docker on xfs mounted with pquota';
  return new EruError('unsupported', `storage: ${size} for the layer: ${error.message}; ${remedy}`, { cause: error });
}
