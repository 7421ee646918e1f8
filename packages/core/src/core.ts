import { Closer, EruError, retry, type Clock, type Logger, type Random } from '@eru/kit';
import type { Registries } from '@eru/engines';
import type { Scheduler } from '@eru/scheduler';
import type { Store } from '@eru/store';

import { authorityOf } from './trust/authority.ts';
import { Committer } from './state/commit.ts';
import { defaultLimits, type Context, type CoreLimits } from './context.ts';
import { CoreCertificates, type OwnCertificate } from './trust/core-certificates.ts';
import { dropUnused, engineOfNode, type Engines } from './nodes/engine-clients.ts';
import { External } from './external/external.ts';
import type { ExternalKinds } from './external/kinds.ts';
import { ExternalUpkeep } from './external/upkeep.ts';
import { keys } from './state/keys.ts';
import { Measures } from './measures.ts';
import { Membership, type Tenure } from './state/membership.ts';
import { defaultReconciler, Reconciler, type ReconcilerOptions } from './upkeep/reconciler.ts';
import { encode } from './state/records.ts';
import { Remap } from './operations/remap.ts';
import { Selfmon } from './upkeep/selfmon.ts';
import { StoreContact } from './state/store-contact.ts';
import { Takeovers } from './operations/takeover.ts';
import { Turns } from './operations/turns.ts';
import { ClusterView } from './state/view.ts';

export interface CoreOptions {
  store: Store;
  scheduler: Scheduler;
  engines: Engines;
  /** Kinds whose usage lives elsewhere; each has a part of `scheduler` that carries its answers. */
  externalKinds?: ExternalKinds | undefined;
  clock: Clock;
  random: Random;
  logger: Logger;
  /** Where clients reach this core; registered with the others. Empty = not yet known: `membership.announce` tells it. */
  address: string;
  version: string;
  /** Names and addresses that this core may be called by, for its certificate. */
  hosts?: readonly string[];
  /** Life of the core's lease without an answer of the store. */
  ttlMs?: number;
  limits?: Partial<CoreLimits>;
  /** Credentials for the registries of images. */
  registries?: Registries | undefined;
  reconciler?: Partial<ReconcilerOptions>;
  /** Gives up starting; a store that cannot be written is waited for. */
  signal?: AbortSignal;
}

export interface Core {
  context: Context;
  membership: Membership;
  /** The identity born with the store: label `eru.coreid` of every object. */
  cluster: string;
  /** What this core shows under TLS; the cluster gets its authority now if it has none. */
  certificate(signal: AbortSignal): Promise<OwnCertificate>;
  /** Leaves the cluster. Operations in flight are dropped where they are and finished by another core, or by the next one. */
  close(): Promise<void>;
}

/** One core: view, membership, takeovers, reconciler. Several work on one store. */
export async function startCore(options: CoreOptions): Promise<Core> {
  const { scheduler, engines, clock, random, logger, signal, ttlMs = 10_000 } = options;
  signal?.throwIfAborted();
  const measures = new Measures();
  // In health there is an answer every third of the lease's life.
  const silentAfterMs = ttlMs / 2;
  const onCall = measures.storeCall.bind(measures);
  const contact = new StoreContact({ store: options.store, clock, silentAfterMs, onCall });
  const { store } = contact;
  const closer = new Closer();
  const stop = new AbortController();
  closer.add('loops', () => stop.abort(new EruError('canceled', 'this core is stopping')));
  const giveUp = (): void => stop.abort(signal?.reason);
  signal?.addEventListener('abort', giveUp, { once: true });
  const cluster = await identify({ ...options, store }, stop.signal);
  const onLag = (ms: number): void => measures.watchLag.observe(ms / 1000);
  const view = new ClusterView({ store, scheduler, clock, random, logger, silentAfterMs, onLag });
  contact.onAnswer((sentAtMs) => view.confirm(sentAtMs));
  await view.start(stop.signal);
  closer.add('engine clients', dropUnused(view, engines));
  const membership = new Membership({
    store,
    contact,
    onWrite: (revision) => view.owe(revision),
    clock,
    random,
    logger,
    address: options.address,
    version: options.version,
    ttlMs,
  });
  closer.add('membership', () => membership.close());
  const certificates = new CoreCertificates({ view, clock, random, logger, hosts: options.hosts ?? [] });
  await certificates.start(stop.signal);
  const context: Context = {
    store,
    certificates,
    view,
    scheduler,
    committer: new Committer({ store, view, clock, random }),
    turns: new Turns(),
    clock,
    random,
    logger,
    measures,
    limits: { ...defaultLimits, ...options.limits },
    planSeed: () => membership.planSeed(view),
    engineOf: (name) => {
      const node = view.nodes.get(name)?.value;
      if (node === undefined) throw new EruError('not_found', `node ${name} is not known`);
      return engineOfNode(engines, node, { view, certificates });
    },
    registries: options.registries ?? {},
    running: new Set(),
  };
  if (options.externalKinds !== undefined && options.externalKinds.names.length > 0)
    context.external = new External(context, options.externalKinds);
  membership.onTenure((tenure) => runDuties(context, tenure, options.reconciler, stop.signal));
  await membership.join(stop.signal);
  signal?.removeEventListener('abort', giveUp);
  return {
    context,
    membership,
    cluster,
    certificate: async (until) => {
      await authorityOf(context, membership.current(), cluster);
      await certificates.ready(until);
      return certificates.current();
    },
    close: () => closer.close(),
  };
}

/** What a core does unasked, each until the tenure or the core ends. */
function runDuties(context: Context, tenure: Tenure, reconciler: CoreOptions['reconciler'], signal: AbortSignal): void {
  if (context.external !== undefined) void new ExternalUpkeep(context, context.external, tenure).run(signal);
  void new Takeovers(context, tenure).run(signal);
  new Selfmon(context, tenure).run(signal);
  void new Remap(context, tenure).run(signal);
  void new Reconciler(context, tenure, { ...defaultReconciler, ...reconciler }).run(signal);
}

/** The store's random identity; the first core gives it. */
async function identify({ store, random, clock }: CoreOptions, signal: AbortSignal): Promise<string> {
  return retry(
    async () => {
      const record = { v: 1 as const, id: random.hex(64) };
      const result = await store.txn({
        compare: [{ key: keys.cluster, target: 'create', op: '=', value: 0 }],
        then: [{ op: 'put', key: keys.cluster, value: encode(record) }],
        otherwise: [{ op: 'get', range: { key: keys.cluster } }],
        signal,
      });
      const [found] = result.results;
      if (result.succeeded) return record.id;
      if (found?.op !== 'get' || found.kvs[0] === undefined)
        throw new EruError('unavailable', 'the cluster identity cannot be read');
      return (JSON.parse(new TextDecoder().decode(found.kvs[0].value)) as { id: string }).id;
    },
    { attempts: 5, signal, clock, random },
  );
}
