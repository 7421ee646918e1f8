import {
  addressText,
  type CallOptions,
  type Engine,
  type EngineEvent,
  type EngineParams,
  type FencedOptions,
  type WorkloadSpec,
  type WorkloadState,
} from '@eru/engines';
import { EruError, invalid, isEruError, isJsonObject, Queue } from '@eru/kit';
import { checkRuntime, wishWords, type DockerClient, type IntentStatus, type NetworkService } from '@eru/network';

import { checkNetworks, freeName, ownerOf, wishesOf, type InterfaceWish } from './network-wishes.ts';
import { attachedOf, WorkloadNetworks, type Networked, type Neighbour } from './workload-networks.ts';

/** The runtime that `eru net install-docker` gives to dockerd. */
const runtimeName = 'eru';
/** These names are Docker's own, whatever networks of ours are called. */
const dockersNames = ['host', 'none', 'bridge', 'default'];

/** What Docker has no place for: the container keeps it in these labels. */
const labels = { asked: 'eru.networks', succeeds: 'eru.succeeds' } as const;
/** The same dockerd, asked for what the engine does not tell. */
type Dockerd = Pick<DockerClient, 'get'>;
type Asked = Pick<WorkloadSpec, 'networks' | 'publish'>;

/** A container on networks of ours. */
interface Joined {
  record: Networked;
  wishes: InterfaceWish[];
  state: WorkloadState;
}

/**
 * A docker engine whose containers may be on this node's networks too: with the same addresses after a stop and a replace, as
 * processes have them. A container is made without a network and with the runtime that asks the network daemon (docs/network.md);
 * the daemon is told what it is to have. Everything may be asked again.
 */
export function withNetworks(docker: Engine, service: NetworkService, dockerd: Dockerd): Engine {
  const own = new ContainerNetworks(docker, service, dockerd);
  return new Proxy(docker, {
    get(target, name) {
      const [from, value]: [object, unknown] =
        name !== 'constructor' && name in own ? [own, Reflect.get(own, name)] : [target, Reflect.get(target, name)];
      return typeof value === 'function' ? (value.bind(from) as unknown) : value;
    },
  });
}

class ContainerNetworks implements Partial<Engine> {
  readonly #docker: Engine;
  readonly #service: NetworkService;
  readonly #networks: WorkloadNetworks;
  readonly #dockerd: Dockerd;
  /** Who reads events: addresses change without Docker's hearing of it. */
  readonly #readers = new Set<(change: Pick<WorkloadState, 'id' | 'name'>) => void>();

  constructor(docker: Engine, service: NetworkService, dockerd: Dockerd) {
    this.#docker = docker;
    this.#service = service;
    this.#dockerd = dockerd;
    this.#networks = new WorkloadNetworks(service, 'container');
  }

  async create(spec: WorkloadSpec, options: FencedOptions = {}): Promise<WorkloadState> {
    if (!(await this.#areOurs(Object.keys(spec.networks), options))) return this.#docker.create(spec, options);
    checkNetworks(spec);
    await this.#checkRuntime(options);
    const before = await this.#named(spec.succeeds, options);
    const wishes = wishesOf(spec, before?.wishes);
    const { networks, publish } = spec;
    const state = await this.#docker.create(
      {
        ...spec,
        networks: { none: '' },
        rawArgs: withRuntime(spec.rawArgs),
        labels: {
          ...spec.labels,
          [labels.asked]: JSON.stringify({ networks, publish } satisfies Asked),
          [labels.succeeds]: spec.succeeds,
          // A runtime of another daemon knows nothing of it, and then must not start it without a network.
          [wishWords.name]: wishes.map(({ network }) => network).join(','),
        },
      },
      options,
    );
    const record = { id: state.id, spec, ports: state.ports };
    try {
      // One that is found by its name may have been connected to more since it was made.
      if ((await this.#intent(state.id)) !== undefined) return this.#shown(state);
      await this.#networks.reserve(record, wishes, before && neighbourOf(before));
      await this.#service.declare({
        container: state.id,
        owner: ownerOf(spec.name),
        releasesOwner: true,
        networks: wishes.map(({ network, ifname }) => ({ network, ifname })),
        policy: 'ephemeral', // Of what is not reserved: the addresses for the time being.
      });
      return state;
    } catch (error) {
      // Nothing is left behind; the first failure is told.
      await this.#docker.remove(state.id, { force: true }).catch(() => {});
      await this.#networks.release(record, []).catch(() => {});
      throw error;
    }
  }

  async start(id: string, options: FencedOptions = {}): Promise<void> {
    const joined = await this.#joined(id, options);
    if (joined !== undefined && !isAlive(joined.state)) {
      await this.#checkRuntime(options);
      const before = await this.#named(joined.state.labels[labels.succeeds] ?? '', options);
      // Docker says that it has stopped before its runtime has told the daemon.
      if (before !== undefined && !isAlive(before.state)) await this.#service.detach({ id: before.state.id });
      await this.#networks.settle(joined.record, joined.wishes, before && neighbourOf(before));
    }
    await this.#docker.start(id, options);
  }

  async remove(id: string, options: FencedOptions & { force?: boolean } = {}): Promise<void> {
    const joined = await this.#joined(id, options);
    if (joined === undefined || (isAlive(joined.state) && options.force !== true))
      return this.#docker.remove(id, options);
    const { record, state } = joined;
    // What it holds goes to others before the network daemon hears that it is gone.
    await this.#docker.stop(id, { ...options, graceMs: 0 });
    await this.#service.detach({ id: state.id });
    await this.#networks.release(record, await this.#heirs(joined, options));
    await this.#docker.remove(id, options);
    await this.#service.forget({ container: state.id });
  }

  async inspect(id: string, options: CallOptions = {}): Promise<WorkloadState> {
    return this.#shown(await this.#docker.inspect(id, options));
  }

  async list(options: CallOptions & { labels?: Readonly<Record<string, string>> } = {}): Promise<WorkloadState[]> {
    return Promise.all((await this.#docker.list(options)).map((state) => this.#shown(state)));
  }

  async update(id: string, params: EngineParams, options: FencedOptions = {}): Promise<WorkloadState> {
    return this.#shown(await this.#docker.update(id, params, options));
  }

  async networkConnect(
    id: string,
    network: string,
    options: CallOptions & { ipv4?: string; ipv6?: string } = {},
  ): Promise<string[]> {
    const joined = await this.#joined(id, options);
    const ours = await this.#areOurs([network], options);
    if (joined === undefined && !ours) return this.#docker.networkConnect(id, network, options);
    if (joined === undefined || !ours)
      throw new EruError(
        'precondition',
        `${id} is on networks of ${ours ? 'Docker' : 'Eru'}, and ${network} is one of ${ours ? 'Eru' : 'Docker'}; a container has networks of one of both: deploy it anew with network: ${network}`,
      );
    const { record, wishes, state } = joined;
    if (wishes.some((one) => one.network === network))
      throw new EruError('exists', `container ${id} is connected to network ${network} already`);
    const { ipv4 = '', ipv6 = '' } = options;
    const wish = { network, ip: addressText([ipv4, ipv6]), ifname: freeName(wishes.map(({ ifname }) => ifname)) };
    checkNetworks({ networks: { [network]: wish.ip } });
    try {
      await this.#networks.connect(record, wish, false);
      const { reservations } = await this.#service.amend({
        container: state.id,
        add: { network, ifname: wish.ifname },
      });
      this.#tell(state);
      return reservations
        .filter(({ ifname }) => ifname === wish.ifname)
        .flatMap(({ addresses }) => addresses.map(({ ip }) => ip));
    } catch (error) {
      await this.#networks.disconnect(record, wish).catch(() => {}); // The daemon clears away what is nobody's.
      throw error;
    }
  }

  async networkDisconnect(id: string, network: string, options: CallOptions & { force?: boolean } = {}): Promise<void> {
    const joined = await this.#joined(id, options);
    if (joined === undefined) return this.#docker.networkDisconnect(id, network, options);
    const { wishes, state } = joined;
    const wish = wishes.find((one) => one.network === network);
    if (wish === undefined) throw new EruError('not_found', `container ${id} is not connected to network ${network}`);
    if (wishes.length === 1)
      throw new EruError('precondition', `${network} is the only network of ${id}; connect it to another one first`);
    await this.#service.amend({ container: state.id, remove: wish.ifname });
    this.#tell(state);
  }

  async *events(options: CallOptions & { after?: string } = {}): AsyncGenerator<EngineEvent> {
    const over = new AbortController();
    const signal = options.signal === undefined ? over.signal : AbortSignal.any([options.signal, over.signal]);
    const output = new Queue<EngineEvent>(1024);
    let cursor = options.after ?? '';
    const follow = async (): Promise<void> => {
      for await (const event of this.#docker.events({ ...options, signal })) {
        ({ cursor } = event);
        await output.put(event);
      }
    };
    const tell = ({ id, name }: Pick<WorkloadState, 'id' | 'name'>): void => {
      // Who goes on from this cursor hears of it by looking: `ready` says to list again.
      if (cursor !== '') output.push({ type: 'updated', cursor, atMs: Date.now(), id, name });
    };
    this.#readers.add(tell);
    void follow().then(
      () => output.end(),
      (error: unknown) => output.end(error),
    );
    try {
      yield* output;
    } finally {
      this.#readers.delete(tell);
      over.abort(new EruError('canceled', 'nobody reads the events any more'));
    }
  }

  /** Whether these are networks of ours: all of them, or none. */
  async #areOurs(names: readonly string[], { signal }: CallOptions): Promise<boolean> {
    if (names.every((name) => dockersNames.includes(name))) return false;
    const networks = await this.#service.networks({}, signal).catch((error: unknown) => {
      if (isEruError(error, 'unsupported')) return []; // This node has none, for want of rights.
      throw error;
    });
    const known = networks.map(({ definition }) => definition.name);
    const isOurs = (name: string): boolean => known.includes(name) && !dockersNames.includes(name);
    const dockers = names.find((name) => !isOurs(name));
    const ours = names.find(isOurs);
    if (ours !== undefined && dockers !== undefined)
      throw invalid(
        'networks',
        names.join(', '),
        `${ours} is a network of Eru's and ${dockers} one of Docker's; a container has networks of one of both`,
      );
    return ours !== undefined;
  }

  /** Asked again at each start: meanwhile it may have become another daemon's. @throws EruError `unsupported` */
  async #checkRuntime({ signal }: CallOptions): Promise<void> {
    const { folder } = await this.#service.about({}, signal);
    await checkRuntime(this.#dockerd, runtimeName, folder, signal);
  }

  /** Undefined for a container on networks of Docker's, and for what is not there. */
  async #joined(id: string, options: CallOptions): Promise<Joined | undefined> {
    const state = await this.#docker.inspect(id, callOf(options)).catch((error: unknown) => {
      if (isEruError(error, 'not_found')) return undefined;
      throw error;
    });
    const asked = askedOf(state);
    if (state === undefined || asked === undefined) return undefined;
    const intent = await this.#intent(state.id);
    const wishes = (intent?.networks ?? []).map(({ network, ifname }) => ({
      network,
      ifname,
      ip: asked.networks[network] ?? '',
    }));
    return {
      record: { id: state.id, spec: { name: state.name, publish: asked.publish }, ports: state.ports },
      wishes,
      state,
    };
  }

  #named(name: string, options: CallOptions): Promise<Joined | undefined> {
    return name === '' ? Promise.resolve(undefined) : this.#joined(name, options);
  }

  /** Its successor, to whom what it holds goes at once; or the one whose place it was to take, and did not. */
  async #heirs({ wishes, state }: Joined, options: CallOptions): Promise<Neighbour[]> {
    const [listed] = await this.#docker.list({ ...callOf(options), labels: { [labels.succeeds]: state.name } });
    const successor = listed && (await this.#joined(listed.id, options));
    if (successor !== undefined) {
      const attached = (await this.#addresses(successor.state.id)) !== undefined;
      const before = { name: state.name, wishes, keeps: false };
      if ((await this.#networks.succeed(successor.record, successor.wishes, before, attached)) !== undefined)
        this.#tell(successor.state);
    }
    const predecessor = await this.#named(state.labels[labels.succeeds] ?? '', options);
    return [successor, predecessor].flatMap((one) => (one === undefined ? [] : [neighbourOf(one)]));
  }

  async #intent(container: string): Promise<IntentStatus | undefined> {
    return (await this.#service.intents({ container }))[0];
  }

  async #shown(state: WorkloadState): Promise<WorkloadState> {
    if (askedOf(state) === undefined) return state;
    return { ...state, networks: isAlive(state) ? ((await this.#addresses(state.id)) ?? {}) : {} };
  }

  /** Network -> address; undefined for what is not attached. A daemon that is away tells nothing of what runs. */
  async #addresses(id: string): Promise<Readonly<Record<string, string>> | undefined> {
    try {
      return attachedOf(await this.#service.describe({ id })).addresses;
    } catch (error) {
      if (isEruError(error, 'not_found') || isEruError(error, 'unavailable')) return undefined;
      throw error;
    }
  }

  #tell(changed: Pick<WorkloadState, 'id' | 'name'>): void {
    for (const tell of this.#readers) tell(changed);
  }
}

function isAlive({ state }: WorkloadState): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}

function neighbourOf({ wishes, state }: Joined): Neighbour {
  return { name: state.name, wishes, keeps: isAlive(state) };
}

function askedOf(state: WorkloadState | undefined): Asked | undefined {
  const text = state?.labels[labels.asked];
  return text === undefined ? undefined : (JSON.parse(text) as Asked);
}

/** A call's own limits, without what only its effect carries. */
function callOf({ signal, timeoutMs }: CallOptions): CallOptions {
  return { ...(signal !== undefined && { signal }), ...(timeoutMs !== undefined && { timeoutMs }) };
}

/** The JSON that only docker understands, with our runtime in it. @throws EruError `invalid` */
function withRuntime(rawArgs: Uint8Array): Uint8Array {
  const text = Buffer.from(rawArgs).toString();
  const parsed: unknown = text === '' ? {} : parse(text);
  // Docker's engine says what is wrong with it.
  if (!isJsonObject(parsed)) return rawArgs;
  const { runtime = '' } = parsed;
  if (runtime !== '' && runtime !== runtimeName)
    throw new EruError(
      'invalid',
      `raw_args.runtime: ${JSON.stringify(runtime)} gives no networks of Eru; leave it out, or name networks of Docker's`,
    );
  return Buffer.from(JSON.stringify({ ...parsed, runtime: runtimeName }));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
