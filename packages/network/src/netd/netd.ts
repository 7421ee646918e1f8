import type { Clock, Closer, Logger } from '@eru/kit';
import { EruError } from '@eru/kit';

import { checked } from '../checked.ts';
import { canonical } from '../ipam/address.ts';
import type { Allocator } from '../ipam/allocator.ts';
import type { PoolDefinition } from '../ipam/pool.ts';
import type { Reservation } from '../ipam/records.ts';
import { diagnose, type Finding } from './diagnose.ts';
import type { Intent, IntentStatus } from './intent.ts';
import { declareSchema, ownerOf } from './intent.ts';
import { removeIdleBridges } from './bridges.ts';
import { HostRules, type Subnet } from './host-rules.ts';
import { answerIpam, type IpamCall } from './ipam-call.ts';
import type { NetworkDefinition } from './network-definition.ts';
import { bridgeName, networkSchema, pluginsNeeded } from './network-definition.ts';
import type { Networks } from './networks.ts';
import type { Repair, WorkloadSource } from './reconciler.ts';
import { Reconciler } from './reconciler.ts';
import { syncRoutes } from './routes.ts';
import type { Sandbox } from './sandbox.ts';
import { attachSchema, connectSchema, reserveRequest } from './sandbox.ts';
import type { Sandboxes } from './sandboxes.ts';
import type { DaemonStatus, IpamAnswer, NetworkService, NetworkStatus, PoolStatus } from './service.ts';
import { requests } from './service.ts';

/** How long changes of other nodes are gathered before routes are looked at. */
const routesSettleMs = 50;

export interface NetdParts {
  allocator: Allocator;
  sandboxes: Sandboxes;
  networks: Networks;
  compared: ConstructorParameters<typeof Reconciler>[0];
  about: DaemonStatus;
  logger: Logger;
  closer: Closer;
  clock: Clock;
  roundMs: number;
}

/** A node's network daemon, in this process. `openNetd` makes one. */
export class Netd implements NetworkService {
  /** How much the reconciler has put right. */
  repairs = 0;
  readonly #parts: NetdParts;
  readonly #reconciler: Reconciler;
  readonly #rules: HostRules;
  /** Networks of what is about to be attached. */
  readonly #attaching = new Set<readonly { network: string }[]>();
  #routing: Promise<unknown> = Promise.resolve();
  #routesDue = false;

  constructor(parts: NetdParts) {
    this.#parts = parts;
    this.#reconciler = new Reconciler(parts.compared, parts.logger);
    this.#rules = new HostRules(parts.about.folder);
  }

  async begin(): Promise<void> {
    const { sandboxes, allocator, logger, closer, clock, roundMs } = this.#parts;
    for (const { id, state } of await sandboxes.recover())
      logger.info({ id, state }, 'what an earlier life left is ended');
    await this.#parts.compared.intents
      .recover()
      .catch((error: unknown) => logger.warn({ err: error }, 'declarations could not be handed over'));
    closer.add(
      'watching',
      allocator.view.onChange((key) => this.#onChange(key)),
    );
    const stop = new AbortController();
    const rounds = async (): Promise<void> => {
      for (;;) {
        await clock.sleep(roundMs, stop.signal);
        await this.reconcile().catch((error: unknown) =>
          logger.warn({ err: error }, 'a round of the reconciler failed'),
        );
      }
    };
    const ended = rounds().catch((error: unknown) => {
      if (!stop.signal.aborted) throw error;
    });
    closer.add('reconciler', async () => {
      stop.abort();
      await ended;
      await this.#routing;
    });
    await this.#routes();
  }

  /** Whom to ask which workloads of a kind there are. */
  addSource(source: WorkloadSource): void {
    this.#reconciler.addSource(source);
  }

  attach(request: unknown, signal?: AbortSignal): Promise<Sandbox> {
    return this.#checked(attachSchema, request, ({ owner, ...rest }) =>
      this.#withRules(rest.networks, () => this.#parts.sandboxes.attach({ ...rest, owner: owner ?? rest.id }, signal)),
    );
  }

  detach(request: unknown, signal?: AbortSignal): Promise<void> {
    return this.#checked(requests.sandbox, request, ({ id }) => this.#parts.sandboxes.detach(id, signal));
  }

  connect(request: unknown, signal?: AbortSignal): Promise<Sandbox> {
    return this.#checked(connectSchema, request, ({ id, network, policy }) =>
      this.#withRules([network], () => this.#parts.sandboxes.connect(id, network, policy, signal)),
    );
  }

  disconnect(request: unknown): Promise<Sandbox | null> {
    return this.#checked(
      requests.disconnect,
      request,
      async ({ id, name }) => (await this.#parts.sandboxes.disconnect(id, name)) ?? null,
    );
  }

  /** Whether a process lives in the namespace of this sandbox. */
  occupied(id: string): Promise<boolean> {
    return this.#parts.sandboxes.occupied(id);
  }

  /** Of a sandbox that is attached: an engine has switched its IPv6 off meanwhile. */
  restoreIpv6(id: string): Promise<void> {
    return this.#parts.sandboxes.restoreIpv6(id);
  }

  async about(): Promise<DaemonStatus> {
    return this.#parts.about;
  }

  describe(request: unknown): Promise<Sandbox> {
    return this.#checked(requests.sandbox, request, async ({ id }) => {
      const sandbox = this.#parts.sandboxes.get(id);
      if (sandbox === undefined) throw new EruError('not_found', `${id} is not attached here`);
      return sandbox;
    });
  }

  async sandboxes(): Promise<Sandbox[]> {
    return this.#parts.sandboxes.list();
  }

  reserve(request: unknown, signal?: AbortSignal): Promise<Reservation> {
    return this.#checked(requests.reserve, request, async ({ owner, kind, network: one, policy, expiresInMs }) => {
      const { allocator } = this.#parts;
      const definition = this.#parts.networks.wanted(one.network);
      // Said before anything depends on it: without them nothing can ever be attached here.
      await this.#parts.compared.cni.require(pluginsNeeded(definition));
      return allocator.reserve({ ...reserveRequest(definition, { owner, kind, policy }, one), expiresInMs }, signal);
    });
  }

  release(request: unknown, signal?: AbortSignal): Promise<Reservation[]> {
    return this.#checked(requests.release, request, ({ owner, ...rest }) =>
      this.#parts.allocator.release(owner, rest, signal),
    );
  }

  transfer(request: unknown, signal?: AbortSignal): Promise<Reservation[]> {
    return this.#checked(requests.transfer, request, ({ from, to, ...rest }) =>
      this.#parts.allocator.transfer(from, to, rest, signal),
    );
  }

  reservations(request: unknown = {}): Promise<Reservation[]> {
    return this.#checked(requests.reservations, request, async ({ owner, ip }) => {
      const all = this.#parts.allocator.view.reservations(owner);
      if (ip === undefined) return all;
      const text = canonical('ip', ip);
      return all.filter(({ addresses }) => addresses.some((held) => held.ip === text));
    });
  }

  declare(request: unknown, signal?: AbortSignal): Promise<IntentStatus> {
    return this.#checked(declareSchema, request, async (declared) =>
      this.#statusOf(await this.#parts.compared.intents.declare(declared, signal)),
    );
  }

  adopt(request: unknown, signal?: AbortSignal): Promise<IntentStatus> {
    return this.#checked(requests.adopt, request, async ({ from, container }) =>
      this.#statusOf(await this.#parts.compared.intents.adopt(from, container, signal)),
    );
  }

  amend(request: unknown, signal?: AbortSignal): Promise<IntentStatus> {
    return this.#checked(requests.amend, request, ({ container, ...change }) =>
      this.#withRules(change.add === undefined ? [] : [change.add], async () =>
        this.#statusOf(await this.#parts.compared.intents.amend(container, change, signal)),
      ),
    );
  }

  forget(request: unknown, signal?: AbortSignal): Promise<Reservation[]> {
    return this.#checked(requests.forget, request, ({ container }) =>
      this.#parts.compared.intents.forget(container, signal),
    );
  }

  intents(request: unknown = {}): Promise<IntentStatus[]> {
    return this.#checked(requests.intents, request, async ({ container }) => {
      const { intents } = this.#parts.compared;
      const found = container === undefined ? intents.list() : [intents.get(container)];
      return found.flatMap((intent) => (intent === undefined ? [] : [this.#statusOf(intent)]));
    });
  }

  putNetwork(request: unknown, signal?: AbortSignal): Promise<NetworkDefinition> {
    return this.#checked(networkSchema, request, async (definition) => {
      await this.#parts.networks.put(definition, signal);
      return definition;
    });
  }

  removeNetwork(request: unknown, signal?: AbortSignal): Promise<void> {
    return this.#checked(requests.named, request, async ({ name }) => {
      const user = this.#parts.compared.intents
        .list()
        .find(({ networks }) => networks.some((one) => one.network === name));
      if (user !== undefined)
        throw new EruError(
          'precondition',
          `network ${name}: container ${user.container} is to be on it; remove that first`,
        );
      await this.#parts.networks.remove(name, signal);
      await this.#keepRules();
    });
  }

  async networks(): Promise<NetworkStatus[]> {
    const { networks, allocator } = this.#parts;
    return networks.list().map((definition) => ({
      definition,
      cidrs: definition.pools.flatMap((pool) => allocator.view.pool(pool)?.definition.cidr ?? []),
    }));
  }

  putPool(request: unknown, signal?: AbortSignal): Promise<PoolDefinition> {
    return this.#parts.allocator.putPool(request, signal);
  }

  removePool(request: unknown, signal?: AbortSignal): Promise<void> {
    return this.#checked(requests.named, request, async ({ name }) => {
      const user = this.#parts.networks.list().find(({ pools }) => pools.includes(name));
      if (user !== undefined)
        throw new EruError('precondition', `pool ${name}: network ${user.name} names it; change or remove that first`);
      return this.#parts.allocator.removePool(name, signal);
    });
  }

  async pools(): Promise<PoolStatus[]> {
    const { allocator } = this.#parts;
    const { view, node } = allocator;
    return [...view.pools()].map(({ definition, capacity }) => {
      const { name, scope } = definition;
      const records = [...view.taken(scope === 'node' ? `${name}@${node}` : name).values()].map(({ record }) => record);
      const held = records.filter((record) => record.state === 'held');
      const bound = held.filter(
        ({ owner, ...record }) => record.state === 'held' && view.reservation(owner, record.ifname)?.state === 'bound',
      ).length;
      return {
        definition,
        capacity: Number(capacity),
        reserved: held.length - bound,
        bound,
        quarantined: records.length - held.length,
        blocks: [...view.blocks(name).values()].map(({ record }) => ({ node: record.node, cidr: record.cidr })),
        exhausted: allocator.exhausted.get(name) ?? 0,
      };
    });
  }

  diagnose(): Promise<Finding[]> {
    return diagnose(this.#parts.compared);
  }

  async reconcile(_request?: unknown, signal?: AbortSignal): Promise<Repair[]> {
    const repairs = await this.#reconciler.round(signal);
    this.repairs += repairs.length;
    await Promise.all([this.#routes(), this.#keepRules()]);
    return repairs;
  }

  ipam(request: unknown, signal?: AbortSignal): Promise<IpamAnswer> {
    const { allocator, networks } = this.#parts;
    return this.#checked(requests.ipam, request, (call) =>
      answerIpam(call as IpamCall, { allocator, network: (name) => networks.find(name), signal }),
    );
  }

  /** Workloads keep their interfaces: nothing of them goes through us. A bridge that nobody is on goes. */
  async close(): Promise<void> {
    const { networks, logger, closer } = this.#parts;
    await closer.close();
    await this.#keepRules();
    const names = networks.list().flatMap(({ name, driver }) => (driver === 'bridge' ? [bridgeName(name)] : []));
    await removeIdleBridges(names).catch((error: unknown) => logger.warn({ err: error }, 'an idle bridge stays'));
  }

  #statusOf(intent: Intent): IntentStatus {
    const { allocator, sandboxes } = this.#parts;
    const owner = ownerOf(intent);
    const holders = intent.expiresAt === undefined ? [owner] : [...new Set([intent.container, owner])];
    const reservations = holders.flatMap((holder) => allocator.view.reservations(holder));
    return { ...intent, owner, reservations, sandbox: sandboxes.get(intent.container) ?? null };
  }

  async #checked<Schema extends Parameters<typeof checked>[0], T>(
    schema: Schema,
    request: unknown,
    work: (request: ReturnType<typeof checked<Schema>>) => Promise<T>,
  ): Promise<T> {
    return work(checked(schema, request, 'request'));
  }

  #onChange(key: string): void {
    const routed = /^network\/(blocks|nodes|networks|reservations)\//.test(key);
    if (!routed || this.#routesDue) return;
    this.#routesDue = true;
    this.#parts.clock.timer(routesSettleMs, () => void this.#routes());
  }

  /** Only where a network is routed; others' routes are nobody's business here. */
  #routes(): Promise<unknown> {
    const { allocator, networks, logger } = this.#parts;
    this.#routing = this.#routing.then(async () => {
      this.#routesDue = false;
      const names = new Set(networks.list().flatMap(({ driver, pools }) => (driver === 'routed' ? pools : [])));
      if (names.size === 0) return;
      const pools = [...allocator.view.pools()].filter(
        ({ definition }) => names.has(definition.name) && definition.scope === 'cluster',
      );
      await syncRoutes(allocator, pools, logger).catch((error: unknown) =>
        logger.warn({ err: error }, 'routes to other nodes could not be set'),
      );
    });
    return this.#routing;
  }

  /** What is to be attached to these networks finds the host's rules for them there. */
  async #withRules<T>(networks: readonly { network: string }[], work: () => Promise<T>): Promise<T> {
    this.#attaching.add(networks);
    try {
      if (networks.length > 0) await this.#told(this.#rules.open(this.#subnets(networks)));
      return await work();
    } finally {
      this.#attaching.delete(networks);
    }
  }

  /** Those of networks that nobody here is on go. */
  #keepRules(): Promise<void> {
    const used = (): { network: string }[] => [
      ...this.#parts.sandboxes.list().flatMap(({ interfaces }) => interfaces),
      ...[...this.#attaching].flat(),
    ];
    return this.#told(
      this.#rules.keep(() => {
        const all = used();
        return all.length === 0 ? undefined : this.#subnets(all);
      }),
    );
  }

  #subnets(used: readonly { network: string }[]): Subnet[] {
    const { networks, allocator } = this.#parts;
    return used
      .flatMap(({ network }) => networks.find(network) ?? [])
      .flatMap(({ driver, pools, masquerade }) =>
        // Who brings plugins brings rules.
        (driver === undefined ? [] : pools).flatMap((name) => {
          const cidr = allocator.view.pool(name)?.definition.cidr;
          return cidr === undefined ? [] : [{ cidr, masquerade }];
        }),
      );
  }

  #told(change: Promise<void>): Promise<void> {
    const text = 'traffic of workloads here may be dropped: rules of this host could not be set';
    return change.catch((error: unknown) => this.#parts.logger.warn({ err: error }, text));
  }
}
