import type { Clock, Logger } from '@eru/kit';
import { EruError } from '@eru/kit';

import type { Reservation, WorkloadKind } from '../ipam/records.ts';
import type { Intent } from './intent.ts';
import { diagnose, type DiagnoseOptions } from './diagnose.ts';
import { delWithStandIn } from './stand-in.ts';

/** Something that was put right. */
export interface Repair {
  key: string;
  text: string;
}

/** Who knows which workloads of a kind there are on this node. */
export interface WorkloadSource {
  readonly kind: Exclude<WorkloadKind, 'manual' | 'foreign'>;
  /** All of them, running or not. Throws rather than answer in part: what is missing here is released. */
  list(signal?: AbortSignal): Promise<readonly { id: string; owner: string; running: boolean }[]>;
  /** Whether an owner of this name would be in its list if it were there. Absent: all of its kind would. */
  owns?(owner: string): boolean;
  /** A namespace is there before its engine says that its workload runs: so long it may be. Default 0. */
  readonly startGraceMs?: number;
  /** The engine of whose declared containers it knows. Absent: of none. */
  readonly engine?: Intent['engine'];
}

interface Finding {
  readonly key: string;
  readonly text: string;
  /** What puts it right. Absent: nobody can know; it is only told. */
  readonly mend?: () => Promise<unknown>;
}

/**
 * Compares and repairs, in rounds. Nothing is ended on one observation: a finding must be there in two rounds one after the
 * other. A workload that nobody can be asked about is left alone.
 */
export class Reconciler {
  readonly #options: DiagnoseOptions & { clock: Clock };
  readonly #logger: Logger;
  readonly #sources: WorkloadSource[] = [];
  #before: ReadonlySet<string> = new Set();
  #round: Promise<Repair[]> | undefined;

  constructor(options: DiagnoseOptions & { clock: Clock }, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  addSource(source: WorkloadSource): void {
    this.#sources.push(source);
  }

  /** One round; a second caller gets the one that runs. */
  round(signal?: AbortSignal): Promise<Repair[]> {
    this.#round ??= this.#compare(signal).finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async #compare(signal: AbortSignal | undefined): Promise<Repair[]> {
    const repairs: Repair[] = [];
    const done = (key: string, text: string): void => {
      repairs.push({ key, text });
      this.#logger.info({ key }, text);
    };
    const swept = await this.#options.allocator.sweep(signal);
    for (const { owner, ifname } of swept.expired)
      done(`expired/${owner}/${ifname}`, `what ${owner} (${ifname}) held for a time is released`);
    for (const { owner, ifname } of swept.idle)
      done(`idle/${owner}/${ifname}`, `${owner} (${ifname}) was idle for longer than its pool allows: released`);
    for (const { container } of this.#options.intents.expired()) {
      await this.#options.intents.forget(container, signal);
      done(`undeclared/${container}`, `what was declared for ${container}, and never adopted, is forgotten`);
    }
    const findings = [...(await this.#differences()), ...(await this.#workloads(signal))];
    for (const { key, text, mend } of findings) {
      if (mend === undefined || !this.#before.has(key)) continue;
      try {
        if ((await mend()) !== false) done(key, text);
      } catch (error) {
        this.#logger.warn({ err: error, key }, `could not be repaired: ${EruError.from(error).message}`);
      }
    }
    this.#before = new Set(findings.map(({ key }) => key));
    return repairs;
  }

  async #differences(): Promise<Finding[]> {
    const { allocator, cni, namespaces, sandboxes } = this.#options;
    const found = await diagnose(this.#options);
    return found.map(({ key, text }): Finding => {
      const [kind = '', first = '', second = '', third = ''] = key.split('/');
      const mends: Readonly<Record<string, () => Promise<unknown>>> = {
        half: () => this.#detachHalf(first),
        // A process may live in it still: then it gets its name back, and keeps its addresses.
        namespace: async () => (await sandboxes.readopt(first)) || (await sandboxes.detach(first)),
        interface: () => sandboxes.disconnect(first, second),
        bound: () => this.#unbind(first, second),
        unbound: () => allocator.bind(sandboxes.get(first)?.owner ?? '', second, epochOf(this.#options, first, second)),
        stray: async () => (sandboxes.get(first) === undefined ? namespaces.remove(first) : false),
        cache: async () =>
          sandboxes.get(second) === undefined
            ? delWithStandIn(cni, namespaces, { network: first, containerId: second, ifname: third })
            : false,
      };
      const mend = mends[kind];
      return { key, text, ...(mend !== undefined && { mend }) };
    });
  }

  /** What their engines say: who does not run is detached, who is gone gives back what it holds. */
  async #workloads(signal: AbortSignal | undefined): Promise<Finding[]> {
    const { allocator, sandboxes, intents, clock } = this.#options;
    const findings: Finding[] = [];
    for (const source of this.#sources) {
      let workloads: Awaited<ReturnType<WorkloadSource['list']>>;
      try {
        workloads = await source.list(signal);
      } catch (error) {
        this.#logger.warn(
          { err: error, kind: source.kind },
          'nobody can say which workloads there are; their addresses stay',
        );
        continue;
      }
      const there = new Set(workloads.map(({ id }) => id));
      for (const { container, engine, expiresAt } of intents.list()) {
        if (engine !== source.engine || expiresAt !== undefined || there.has(container)) continue;
        findings.push({
          key: `removed/${container}`,
          text: `${container} is removed: what was declared for it is forgotten`,
          mend: () => intents.forget(container),
        });
      }
      const running = new Set(workloads.filter((workload) => workload.running).map(({ id }) => id));
      const owners = new Set(workloads.map(({ owner }) => owner));
      for (const { id, kind, createdAt } of sandboxes.list()) {
        if (kind !== source.kind || running.has(id)) continue;
        const young = createdAt > clock.now() - (source.startGraceMs ?? 0);
        // Whose engine knows nothing of it any more is not being started.
        if (young && (there.has(id) || intents.get(id)?.engine !== source.engine)) continue;
        findings.push({ key: `stopped/${id}`, text: `${id} does not run: detached`, mend: () => this.#detachIdle(id) });
      }
      const attached = new Set(sandboxes.list().map(({ id }) => id));
      for (const id of running) {
        if (attached.has(id) || !holds(allocator.view.reservations(), workloads.find((one) => one.id === id)?.owner))
          continue;
        findings.push({ key: `unattached/${id}`, text: `${id} runs, holds addresses, and is attached nowhere` });
      }
      for (const { owner, ifname, kind, node, state, expiresAt } of allocator.view.reservations()) {
        if (
          kind !== source.kind ||
          node !== allocator.node ||
          state !== 'reserved' ||
          expiresAt !== undefined ||
          owners.has(owner) ||
          source.owns?.(owner) === false
        )
          continue;
        findings.push({
          key: `gone/${owner}/${ifname}`,
          text: `${owner} is gone: what it held on ${ifname} is released`,
          mend: () => allocator.release(owner, { ifname }),
        });
      }
    }
    return findings;
  }

  /** Whatever its engine says: a process that lives in a namespace keeps its addresses. */
  async #detachIdle(id: string): Promise<unknown> {
    const { sandboxes } = this.#options;
    return (await sandboxes.occupied(id)) ? false : sandboxes.detach(id);
  }

  async #detachHalf(id: string): Promise<unknown> {
    const { sandboxes } = this.#options;
    return sandboxes.get(id)?.state === 'detaching' ? sandboxes.detach(id) : false;
  }

  async #unbind(owner: string, ifname: string): Promise<unknown> {
    const { allocator, sandboxes } = this.#options;
    const used = sandboxes
      .list()
      .some((sandbox) => sandbox.owner === owner && sandbox.interfaces.some((one) => one.ifname === ifname));
    return used ? false : allocator.unbind(owner, ifname);
  }
}

function epochOf({ sandboxes }: DiagnoseOptions, id: string, ifname: string): { epoch?: number } {
  const epoch = sandboxes.get(id)?.interfaces.find((one) => one.ifname === ifname)?.epoch;
  return epoch === undefined ? {} : { epoch };
}

function holds(reservations: readonly Reservation[], owner: string | undefined): boolean {
  return reservations.some((one) => one.owner === owner);
}
