import type { Nic, Usage } from './usage.ts';

/** One value under the original's name (reference/agent.md section 14.2). */
export interface OriginalValue {
  name: string;
  /** Of a network interface or a disk. */
  label?: { name: 'nic' | 'dev'; value: string };
  value: number;
}

export interface Host {
  cpus: number;
  memoryBytes: number;
  /** Ticks in the step, of the whole machine. */
  userTicks: number;
  systemTicks: number;
}

const ticksPerSecond = 100;

/** What a workload's gauges are after a step. What the machine does not tell is left out. */
export function originalSeries(before: Usage, now: Usage, host: Host): OriginalValue[] {
  const stepS = (now.atMs - before.atMs) / 1000;
  return stepS <= 0
    ? []
    : [
        ...cpu(before, now, host, stepS),
        ...memory(now, host),
        ...nics(before, now, stepS),
        ...disks(before, now, stepS),
      ];
}

function cpu(before: Usage, now: Usage, host: Host, stepS: number): OriginalValue[] {
  if (before.cpu === undefined || now.cpu === undefined) return [];
  const used = now.cpu.seconds - before.cpu.seconds;
  const values = [
    { name: 'cpu_host_usage', value: used / (host.cpus * stepS) },
    { name: 'cpu_container_usage', value: used / ((now.cpu.limit ?? host.cpus) * stepS) },
  ];
  const system = delta(before.cpu.system, now.cpu.system);
  const user = delta(before.cpu.user, now.cpu.user);
  if (system === undefined || user === undefined) return values;
  return [
    ...values,
    { name: 'cpu_host_sys_usage', value: ratio(system * ticksPerSecond, host.systemTicks) },
    { name: 'cpu_host_user_usage', value: ratio(user * ticksPerSecond, host.userTicks) },
    { name: 'cpu_container_sys_usage', value: ratio(system, used) },
    { name: 'cpu_container_user_usage', value: ratio(user, used) },
  ];
}

function memory({ memory }: Usage, host: Host): OriginalValue[] {
  if (memory === undefined) return [];
  const { usage = memory.workingSet, rss, peak, limit = host.memoryBytes } = memory;
  return [
    { name: 'mem_usage', value: usage },
    { name: 'mem_percent', value: ratio(usage, limit) },
    ...(peak === undefined ? [] : [{ name: 'mem_max_usage', value: peak }]),
    ...(rss === undefined
      ? []
      : [
          { name: 'mem_rss', value: rss },
          { name: 'mem_rss_percent', value: ratio(rss, limit) },
        ]),
  ];
}

const nicNames: readonly (readonly [string, keyof Nic])[] = [
  ['bytes_send', 'txBytes'],
  ['bytes_recv', 'rxBytes'],
  ['packets_send', 'txPackets'],
  ['packets_recv', 'rxPackets'],
  ['err_in', 'rxErrors'],
  ['err_out', 'txErrors'],
  ['drop_in', 'rxDropped'],
  ['drop_out', 'txDropped'],
];

function nics(before: Usage, now: Usage, stepS: number): OriginalValue[] {
  return Object.entries(now.nics).flatMap(([nic, figures]) => {
    const known = before.nics[nic];
    if (known === undefined) return [];
    return nicNames.map(([name, key]) => ({
      name,
      label: { name: 'nic' as const, value: nic },
      value: (figures[key] - known[key]) / stepS,
    }));
  });
}

const diskNames = [
  ['io_service_bytes_read', 'readBytes'],
  ['io_service_bytes_write', 'writeBytes'],
  ['io_serviced_read', 'reads'],
  ['io_serviced_write', 'writes'],
] as const;

function disks(before: Usage, now: Usage, stepS: number): OriginalValue[] {
  return Object.entries(now.disks).flatMap(([dev, figures]) => {
    const label = { name: 'dev' as const, value: dev };
    const known = before.disks[dev];
    return diskNames.flatMap(([name, key]) => [
      { name, label, value: figures[key] },
      { name: `${name}_per_second`, label, value: known === undefined ? 0 : (figures[key] - known[key]) / stepS },
    ]);
  });
}

function delta(before: number | undefined, now: number | undefined): number | undefined {
  return before === undefined || now === undefined ? undefined : now - before;
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
