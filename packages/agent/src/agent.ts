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
  /** The node's address, reported for workloads on the host's network; default 127.0.0.1. */
  nodeIp?: string;
  /** Default 60; the node counts as down after three times this. */
  heartbeatIntervalS?: number;
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
  /** `leave`: core sees the node as down at once. Without it the node stays alive for three heartbeats, which is what a restart wants. */
  close(options?: { leave?: boolean }): Promise<void>;
}

/** Inspections and probes at once on one node. */
const inspectionsAtOnce = 16;
const probesAtOnce = 128;

/**
 * Watches a node and tells core: that it is alive, and how its workloads are. It never touches a workload, needs nothing
 * of core to begin, and goes on trying for as long as core is away.
 */
export function startAgent(options: AgentOptions): Agent {
  const { node, core, engine, cluster, nodeIp = '127.0.0.1', probe = runProbe, forwarding } = options;
  const { clock = systemClock, random = systemRandom, logger = silentLogger } = options;
  const { intervalS = 60, timeoutS = 10, cacheTtlS = 300 } = options.healthcheck ?? {};
  const heartbeatMs = milliseconds('heartbeat_interval', options.heartbeatIntervalS ?? 60);

  const workloads = new Map<string, Seen>();
  const onReturn = (): void => reporter.reset();
  const heartbeat = new Heartbeat({ node, core, engine, intervalMs: heartbeatMs, clock, random, logger, onReturn });
  const cacheTtlMs = milliseconds('healthcheck.cache_ttl', cacheTtlS);
  const reporter = new Reporter({ node, core, heartbeat, cacheTtlMs, clock, random, logger });
  const labels = { [labelNames.eru]: '1', [labelNames.node]: node, ...(cluster && { [labelNames.cluster]: cluster }) };
  const watch = new Watch({
    engine,
    clock,
    random,
    logger,
    probe,
    labels,
    sweepMs: milliseconds('healthcheck.interval', intervalS),
    probeLimitMs: milliseconds('healthcheck.timeout', timeoutS),
    inspections: limitConcurrency(inspectionsAtOnce),
    probes: limitConcurrency(probesAtOnce),
    mine: (state) => Object.entries(labels).every(([name, value]) => state.labels[name] === value),
    onSeen: (state) => {
      workloads.set(state.id, { state, health: workloads.get(state.id)?.health });
      forwarding?.seen(state);
    },
    onChecked: (state, health) => {
      workloads.set(state.id, { state, health });
      reporter.offer(reportOf(state, health, nodeIp));
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
  return { workloads, close: ({ leave = false } = {}) => (closing ??= close(leave)) };
}

function milliseconds(field: string, seconds: number): number {
  if (Number.isFinite(seconds) && seconds > 0) return seconds * 1000;
  throw invalid(field, seconds, 'give a number of seconds above 0');
}
