import os from 'node:os';

import type { WorkloadState } from '@eru/engines';
import type { Clock, Logger } from '@eru/kit';
import { EruError } from '@eru/kit';

import type { Seen } from '../agent.ts';
import { partsOf } from '../logs/line.ts';
import type { Family, Families } from './exposition.ts';
import type { OriginalValue } from './original-series.ts';
import { originalSeries } from './original-series.ts';
import { hostCpu } from './proc-files.ts';
import type { ReadUsage } from './read-usage.ts';
import type { Statsd } from './statsd.ts';
import type { Nic, Usage } from './usage.ts';

export interface WorkloadMetricsOptions {
  node: string;
  workloads: ReadonlyMap<string, Seen>;
  readUsage: ReadUsage;
  /** Root of the process file system. */
  proc: string;
  stepMs: number;
  statsd: Statsd | undefined;
  clock: Clock;
  logger: Logger;
}

interface Measured {
  usage: Usage;
  original: OriginalValue[];
}

/** Looks at what every workload uses once in a step, for whoever asks in between. */
export class WorkloadMetrics {
  readonly #options: WorkloadMetricsOptions;
  readonly #measured = new Map<string, Measured>();

  constructor(options: WorkloadMetricsOptions) {
    this.#options = options;
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, stepMs, workloads, proc, logger } = this.#options;
    let ticks = hostCpu(proc);
    for (;;) {
      const begunMs = clock.monotonic();
      const now = hostCpu(proc);
      const host = {
        cpus: os.cpus().length,
        memoryBytes: os.totalmem(),
        userTicks: now.user - ticks.user,
        systemTicks: now.system - ticks.system,
      };
      ticks = now;
      for (const { state } of workloads.values()) {
        // Each is some dozen reads of the kernel's files; others get their turn in between.
        await new Promise((resolve) => setImmediate(resolve));
        signal.throwIfAborted();
        await this.#measure(state, host, signal).catch((error: unknown) => {
          signal.throwIfAborted();
          logger.debug({ id: state.id, err: EruError.from(error) }, 'what it uses could not be read');
        });
      }
      for (const id of this.#measured.keys()) if (!workloads.has(id)) this.#measured.delete(id);
      await clock.sleep(Math.max(0, stepMs - (clock.monotonic() - begunMs)), signal);
    }
  }

  /** Adds everything that is known, under the original's names and under ours. */
  collect(families: Families): void {
    for (const { state, health } of this.#options.workloads.values()) {
      const parts = partsOf(state.name);
      const labels = { id: state.id, app: parts?.app ?? '', entrypoint: parts?.entrypoint ?? '', name: state.name };
      families.add(running, labels, state.state === 'running' ? 1 : 0);
      families.add(healthy, labels, health?.healthy === true ? 1 : 0);
      families.add(restarts, labels, state.restarts);
      const measured = this.#measured.get(state.id);
      if (measured === undefined || parts === undefined) continue;
      for (const { name, type, help, value } of series)
        families.add({ name, type, help }, labels, value(measured.usage));
      this.#detail(families, labels, measured.usage);
      const constant = this.#originalLabels(state, parts);
      for (const { name, label, value } of measured.original)
        families.add(
          { name, type: 'gauge', help: originalHelp(name) },
          { ...constant, ...(label !== undefined && { [label.name]: label.value }) },
          value,
        );
    }
  }

  #detail(families: Families, labels: Readonly<Record<string, string>>, { pressure = {}, nics, disks }: Usage): void {
    for (const [resource, { some, full }] of Object.entries(pressure)) {
      families.add(waiting, { ...labels, resource, tasks: 'some' }, some);
      families.add(waiting, { ...labels, resource, tasks: 'all' }, full);
    }
    for (const [nic, figures] of Object.entries(nics))
      for (const { name, help, key } of nicSeries)
        families.add({ name, type: 'counter', help }, { ...labels, interface: nic }, figures[key]);
    for (const [device, { readBytes, writeBytes, reads, writes }] of Object.entries(disks)) {
      const of = { ...labels, device };
      families.add(diskReadBytes, of, readBytes);
      families.add(diskWriteBytes, of, writeBytes);
      families.add(diskReads, of, reads);
      families.add(diskWrites, of, writes);
    }
  }

  /** The constant labels that dashboards of the original know (reference/agent.md section 14.1). */
  #originalLabels(
    state: WorkloadState,
    { app, entrypoint }: { app: string; entrypoint: string },
  ): Record<string, string> {
    return {
      containerID: state.id,
      hostname: this.#options.node.replaceAll('.', '-'),
      appname: app,
      entrypoint,
      orchestrator: 'ERU',
      labels: Object.entries(state.labels)
        .filter(([key]) => !key.startsWith('ERU'))
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
    };
  }

  async #measure(state: WorkloadState, host: Parameters<typeof originalSeries>[2], signal: AbortSignal): Promise<void> {
    const { readUsage, clock, statsd, node } = this.#options;
    const usage = await readUsage(state, clock.monotonic(), signal);
    if (usage === undefined) return void this.#measured.delete(state.id);
    const before = this.#measured.get(state.id)?.usage;
    // A new run begins at nothing.
    const same = before !== undefined && (usage.cpu?.seconds ?? 0) >= (before.cpu?.seconds ?? 0);
    const original = same ? originalSeries(before, usage, host) : [];
    this.#measured.set(state.id, { usage, original });
    const parts = partsOf(state.name);
    if (parts !== undefined) statsd?.push({ id: state.id, node, ...parts }, original);
  }
}

type Named = Pick<Family, 'name' | 'type' | 'help'>;

const gauge = (name: string, help: string): Named => ({ name: `eru_workload_${name}`, type: 'gauge', help });
const counter = (name: string, help: string): Named => ({ name: `eru_workload_${name}_total`, type: 'counter', help });

const running = gauge('running', '1 while it runs');
const healthy = gauge('healthy', '1 while it runs and its health check passes');
const restarts = counter('restarts', 'how often its restart policy has restarted it');
const waiting = counter('pressure_seconds', 'time in which some or all of its tasks waited for a resource');
const diskReadBytes = counter('disk_read_bytes', 'bytes read from a disk');
const diskWriteBytes = counter('disk_written_bytes', 'bytes written to a disk');
const diskReads = counter('disk_reads', 'read operations of a disk');
const diskWrites = counter('disk_writes', 'write operations of a disk');

const series: readonly (Named & { value: (usage: Usage) => number | undefined })[] = [
  { ...counter('cpu_seconds', 'processor time'), value: ({ cpu }) => cpu?.seconds },
  { ...counter('cpu_user_seconds', 'processor time in user mode'), value: ({ cpu }) => cpu?.user },
  { ...counter('cpu_system_seconds', 'processor time in the kernel'), value: ({ cpu }) => cpu?.system },
  { ...counter('cpu_periods', 'enforcement periods of its quota'), value: ({ cpu }) => cpu?.periods },
  {
    ...counter('cpu_throttled_periods', 'periods in which it was held back'),
    value: ({ cpu }) => cpu?.throttledPeriods,
  },
  { ...counter('cpu_throttled_seconds', 'time in which it was held back'), value: ({ cpu }) => cpu?.throttledSeconds },
  { ...gauge('cpu_limit_cores', 'cores that it may use; absent: all'), value: ({ cpu }) => cpu?.limit },
  {
    ...gauge('memory_bytes', 'memory without file pages that can be dropped'),
    value: ({ memory }) => memory?.workingSet,
  },
  { ...gauge('memory_usage_bytes', 'memory with page cache'), value: ({ memory }) => memory?.usage },
  { ...gauge('memory_peak_bytes', 'highest memory with page cache'), value: ({ memory }) => memory?.peak },
  { ...gauge('memory_rss_bytes', 'anonymous memory'), value: ({ memory }) => memory?.rss },
  { ...gauge('memory_limit_bytes', 'memory that it may use; absent: all'), value: ({ memory }) => memory?.limit },
  { ...counter('oom_kills', 'processes killed for want of memory'), value: ({ memory }) => memory?.oomKills },
  { ...gauge('pids', 'processes and threads'), value: ({ pids }) => pids },
];

const nicSeries: readonly { name: string; help: string; key: keyof Nic }[] = [
  ['receive_bytes', 'bytes received', 'rxBytes'],
  ['receive_packets', 'packets received', 'rxPackets'],
  ['receive_errors', 'packets received with errors', 'rxErrors'],
  ['receive_dropped', 'received packets that were dropped', 'rxDropped'],
  ['transmit_bytes', 'bytes sent', 'txBytes'],
  ['transmit_packets', 'packets sent', 'txPackets'],
  ['transmit_errors', 'packets that could not be sent', 'txErrors'],
  ['transmit_dropped', 'packets to send that were dropped', 'txDropped'],
].map(([name = '', help = '', key = '']) => ({
  name: `eru_workload_network_${name}_total`,
  help,
  key: key as keyof Nic,
}));

function originalHelp(name: string): string {
  return `the original's ${name} (docs/agent.md)`;
}
