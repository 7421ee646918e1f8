import {
  Forwarding,
  metricsText,
  startAgent,
  startApi,
  Statsd,
  usageFromEngine,
  usageFromMachine,
  WorkloadMetrics,
  type CoreCalls,
} from '@eru/agent';
import { createEngines } from '@eru/engines';
import { Closer, systemClock, systemRandom, type Logger } from '@eru/kit';

import type { AgentSettings } from './settings/agent-settings.ts';
import { version } from './version.ts';

export interface RunningAgent {
  /** Where HTTP is served. */
  api: string | undefined;
  /** `leave`: core sees the node as down at once. */
  close(options?: { leave?: boolean }): Promise<void>;
}

/** The agent of one node, between its engine and core, with its logs, figures and port. Needs neither of both to start. */
export async function runAgent(options: {
  node: string;
  core: CoreCalls;
  settings: AgentSettings;
  /** Where it keeps what it must know after a restart. */
  folder: string;
  logger: Logger;
}): Promise<RunningAgent> {
  const { node, core, settings, folder, logger } = options;
  const shared = { clock: systemClock, random: systemRandom, logger };
  const closer = new Closer();
  try {
    const engines = createEngines(shared);
    closer.add('engine client', () => engines.close());
    const engine = engines.get(settings.engine);
    const statsd = settings.metrics.transfers.length === 0 ? undefined : new Statsd(settings.metrics.transfers);
    closer.add('statsd', () => statsd?.close());
    const forwarding = await Forwarding.open({ ...settings.logs, engine, folder, ...shared });
    const agent = startAgent({ ...settings.agent, node, core, engine, forwarding, ...shared });
    let leave = false;
    closer.add('agent', () => agent.close({ leave }));
    const proc = process.env['AGENT_IN_DOCKER'] ? '/hostProc' : '/proc';
    // Simulated workloads and virtual machines are no processes of this machine.
    const here = /^(eru\+)?(unix|tcp):/.test(settings.engine);
    const metrics = new WorkloadMetrics({
      node,
      workloads: agent.workloads,
      readUsage: here ? usageFromMachine(proc) : usageFromEngine(engine, settings.agent.callLimitMs ?? callLimitMs),
      proc,
      stepMs: settings.metrics.stepMs,
      statsd,
      ...shared,
    });
    // Nobody asks for figures where there is neither a port nor a target.
    const measuring = new AbortController();
    if (settings.api !== undefined || statsd !== undefined) {
      const measured = metrics.run(measuring.signal).catch((error: unknown) => {
        if (!measuring.signal.aborted) throw error;
      });
      closer.add('metrics', () => {
        measuring.abort();
        return measured;
      });
    }
    const api =
      settings.api === undefined
        ? undefined
        : await startApi({
            listen: settings.api,
            agent,
            engine,
            metrics: () => metricsText(agent, metrics, forwarding),
            version,
            clock: systemClock,
          });
    if (api !== undefined) closer.add('agent port', () => api.close());
    logger.info({ node, engine: settings.engine, api: api?.address, forwards: settings.logs.forwards }, 'agent runs');
    return {
      api: api?.address,
      close: async (wish) => {
        leave = wish?.leave ?? false;
        await closer.close();
      },
    };
  } catch (error) {
    await closer.close();
    throw error;
  }
}

const callLimitMs = 5_000;
