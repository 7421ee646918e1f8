import type { Engine, WorkloadState } from '@eru/engines';
import { labelNames } from '@eru/engines';
import type { Clock, Logger, Random } from '@eru/kit';
import { EruError, invalid, limitConcurrency, silentLogger, systemClock, systemRandom } from '@eru/kit';

import type { CoreCalls } from './core-calls.ts';
import type { Health } from './health.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Forwarding } from './logs/forwarding.ts';
import type { RunProbe } from './probe.ts';
import { runProbe } from './probe.ts';
import { Reporter } from './reporter.ts';
import { introduce, type NodeFacts, type Registration } from './node-facts.ts';
import { reportOf } from './report.ts';
import { untilAborted } from './until-aborted.ts';
import { Watch } from './watch.ts';

export interface AgentOptions {
  /** The name under which the node was added. */
  node: string;
  core: CoreCalls;
  engine: Engine;
  /** Cluster identity: only workloads whose `eru.coreid` is this. Absent = of any cluster. */
  cluster?: string;
  /** False: all workloads of Eru on the engine are looked at, whatever node their label names (`check_only_mine`). */
  onlyMine?: boolean;
  /** Workloads whose id matches are left alone. */
  skip?: readonly RegExp[];
  /** Add the node to core when it is not there. */
  registration?: Registration;
  /** Default 60; the node counts as down after three times this. 0: nothing is said of it. */
  heartbeatIntervalS?: number;
  /** Limit of every call to core and to the engine, other than probes and streams; default 5 s. */
  callLimitMs?: number;
  healthcheck?: {
    /** Between two looks at all workloads; default 60. */
    intervalS?: number;
    /** Of one probe; default 10. */
    timeoutS?: number;
    /** An unchanged report is repeated after about this; default 300. */
    cacheTtlS?: number;
  };
  clock?: Clock;
  random?: Random;
  logger?: Logger;
  probe?: RunProbe;
  /** Where the logs of the workloads go; closed by the agent. */
  forwarding?: Forwarding;
}

/** A workload of the node as it was last seen. */
export interface Seen {
  state: WorkloadState;
  /** Undefined until it has been checked. */
  health: Health | undefined;
}

export interface Agent {
  /** All that are there, by id. */
  readonly workloads: ReadonlyMap<string, Seen>;
  /** Undefined until core has said. */
  readonly facts: NodeFacts | undefined;
  /** Why core is not told anything now; empty when all is well. */
  readonly trouble: string;
  /** Told of each workload whenever it has been looked at; answers how to end it. */
  subscribe(onSeen: (state: WorkloadState) => void): () => void;
  /** `leave`: core sees the node as down at once. Without it the node stays alive for three heartbeats, which is what a restart wants. */
  close(options?: { leave?: boolean }): Promise<void>;
}

const defaultHeartbeatS = 60;
/** Inspections and probes at once on one node. */
const inspectionsAtOnce = 16;
const probesAtOnce = 128;

/**
 * Watches a node and tells core: that it is alive, and how its workloads are. It never touches a workload, needs nothing
 * of core to begin, and goes on trying for as long as core is away.
 */
export function startAgent(options: AgentOptions): Agent {
  const { node, core, engine, cluster, probe = runProbe, forwarding, onlyMine = true, skip = [] } = options;
  const { clock = systemClock, random = systemRandom, logger = silentLogger } = options;
  const { intervalS = 60, timeoutS = 10, cacheTtlS = 300 } = options.healthcheck ?? {};
  const { heartbeatIntervalS = defaultHeartbeatS, callLimitMs = 5_000, registration } = options;
  const beats = heartbeatIntervalS !== 0;
  const intervalMs = milliseconds('heartbeat_interval', beats ? heartbeatIntervalS : defaultHeartbeatS);

  const workloads = new Map<string, Seen>();
  const listeners = new Set<(state: WorkloadState) => void>();
  const onReturn = (): void => reporter.reset();
  let facts: NodeFacts | undefined;
  const heartbeat = new Heartbeat({
    node,
    core,
    engine,
    intervalMs,
    beats,
    callLimitMs,
    clock,
    random,
    logger,
    onReturn,
    introduce: async (signal) => {
      facts = await introduce(core, node, registration, { signal, timeoutMs: callLimitMs });
      forwarding?.inPod(facts.pod);
    },
  });
  const cacheTtlMs = milliseconds('healthcheck.cache_ttl', cacheTtlS);
  const reporter = new Reporter({ node, core, heartbeat, cacheTtlMs, callLimitMs, clock, random, logger });
  const labels = {
    [labelNames.eru]: '1',
    ...(onlyMine && { [labelNames.node]: node }),
    ...(cluster && { [labelNames.cluster]: cluster }),
  };
  const watch = new Watch({
    engine,
    clock,
    random,
    logger,
    probe,
    labels,
    sweepMs: milliseconds('healthcheck.interval', intervalS),
    callLimitMs,
    probeLimitMs: milliseconds('healthcheck.timeout', timeoutS),
    inspections: limitConcurrency(inspectionsAtOnce),
    probes: limitConcurrency(probesAtOnce),
    mine: (state) =>
      Object.entries(labels).every(([name, value]) => state.labels[name] === value) &&
      !skip.some((pattern) => pattern.test(state.id)),
    onSeen: (state) => {
      workloads.set(state.id, { state, health: workloads.get(state.id)?.health });
      forwarding?.seen(state);
      for (const tell of listeners) tell(state);
    },
    onChecked: (state, health) => {
      workloads.set(state.id, { state, health });
      reporter.offer(reportOf(state, health, facts?.ip ?? '127.0.0.1'));
    },
    onGone: (id) => {
      workloads.delete(id);
      reporter.forget(id);
    },
    onListed: (ids) => forwarding?.listed(ids),
  });

  const life = new AbortController();
  // They end only when aborted. Anything else is a bug, and ends the process as an unhandled rejection.
  const loops = [heartbeat, reporter, watch].map((part) => untilAborted(part.run(life.signal), life.signal));
  let closing: Promise<void> | undefined;
  const close = async (leave: boolean): Promise<void> => {
    life.abort();
    await Promise.all([...loops, forwarding?.close()]);
    if (!leave) return;
    await heartbeat.leave().catch((error: unknown) => {
      logger.warn({ node, err: EruError.from(error) }, 'core was not told that the node leaves; it will notice');
    });
  };
  return {
    workloads,
    get facts() {
      return facts;
    },
    get trouble() {
      return heartbeat.trouble;
    },
    subscribe: (onSeen) => {
      listeners.add(onSeen);
      return () => listeners.delete(onSeen);
    },
    close: ({ leave = false } = {}) => (closing ??= close(leave)),
  };
}

function milliseconds(field: string, seconds: number): number {
  if (Number.isFinite(seconds) && seconds > 0) return seconds * 1000;
  throw invalid(field, seconds, 'give a number of seconds above 0');
}
