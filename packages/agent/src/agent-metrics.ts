import type { Agent } from './agent.ts';
import type { Forwarding } from './logs/forwarding.ts';
import type { Family } from './metrics/exposition.ts';
import { Families } from './metrics/exposition.ts';
import type { WorkloadMetrics } from './metrics/workload-metrics.ts';

/** Everything that `/metrics` says, as text. */
export function metricsText(
  agent: Pick<Agent, 'trouble' | 'workloads'>,
  workloads: WorkloadMetrics,
  forwarding: Forwarding | undefined,
): string {
  const families = new Families();
  workloads.collect(families);
  for (const {
    url: target,
    up,
    lines,
    bytes,
    inDoubt,
    refused,
    lostBytes,
    queuedBytes,
    spooledBytes,
  } of forwarding?.figures() ?? []) {
    const labels = { target };
    families.add(gauge('log_target_up', '1 while the target takes lines'), labels, up ? 1 : 0);
    families.add(counter('log_lines', 'lines of workloads with this target that were delivered'), labels, lines);
    families.add(counter('log_bytes', 'bytes of them'), labels, bytes);
    const dropped = counter('log_dropped_lines', 'lines that were not delivered, or of which nobody knows');
    families.add(dropped, { target, reason: 'in_doubt' }, inDoubt);
    families.add(dropped, { target, reason: 'refused' }, refused);
    families.add(
      counter('log_lost_bytes', "bytes that the engine's own logs gave up before they were read"),
      labels,
      lostBytes,
    );
    families.add(gauge('log_queue_bytes', 'bytes that wait in memory'), labels, queuedBytes);
    families.add(gauge('log_spool_bytes', 'bytes that wait on disk'), labels, spooledBytes);
  }
  families.add(gauge('workloads', 'workloads that are watched'), {}, agent.workloads.size);
  families.add(gauge('ready', '1 while core and engine answer'), {}, agent.trouble === '' ? 1 : 0);
  const { user, system } = process.cpuUsage();
  const cpu: Named = { name: 'process_cpu_seconds_total', type: 'counter', help: 'processor time of this process' };
  families.add(cpu, {}, (user + system) / 1e6);
  const memory: Named = { name: 'process_resident_memory_bytes', type: 'gauge', help: 'memory of this process' };
  families.add(memory, {}, process.memoryUsage.rss());
  return families.text();
}

type Named = Pick<Family, 'name' | 'type' | 'help'>;

function gauge(name: string, help: string): Named {
  return { name: `eru_agent_${name}`, type: 'gauge', help };
}

function counter(name: string, help: string): Named {
  return { name: `eru_agent_${name}_total`, type: 'counter', help };
}
