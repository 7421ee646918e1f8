import type { eru } from '@eru/contract';
import { formatSize } from '@eru/kit';

import type { Colors, View } from '../output.ts';
import { sheet, table } from './table.ts';

/** How `ps` and `describe` show a workload. The fields of `plain` are fixed for scripts; new ones may be added. */
export function workloadView(nowMs: number): View<eru.Workload> {
  return {
    plain: plainWorkload,
    name: (workload) => workload.record?.name ?? '',
    table: (workloads, colors) =>
      table(
        ['NAME', 'ID', 'NODE', 'STATUS', 'ADDRESS', 'CPU', 'MEMORY', 'RESTARTS', 'AGE'],
        workloads.map((workload) => rowOf(workload, nowMs, colors)),
        colors,
      ),
  };
}

function plainWorkload(workload: eru.Workload) {
  const { record, status } = workload;
  return {
    id: record?.id ?? '',
    name: record?.name ?? '',
    app: workload.app,
    entrypoint: workload.entrypoint,
    pod: record?.podname ?? '',
    node: record?.nodename ?? '',
    engine: workload.engine,
    state: status?.state ?? '',
    running: status?.running ?? false,
    healthy: status?.healthy ?? false,
    reason: status?.reason ?? '',
    publish: publishOf(workload),
    addresses: addressesOf(workload),
    limits: { requested: plainLimits(workload.requested), effective: plainLimits(status?.effective) },
    restarts: status?.restarts ?? 0,
    exit_code: status?.exitCode ?? 0,
    oom_killed: status?.oomKilled ?? false,
    started_at: isoTime(status?.startedAt),
    finished_at: isoTime(status?.finishedAt),
    created_at: isoTime((record?.createTime ?? 0n) * 1000n),
  };
}

/** null where nothing is limited (requested) or enforced (effective). */
function plainLimits(limits: eru.Limits | undefined) {
  const { cpu, memory, pids, cpuset = [], io = [] } = limits ?? {};
  return {
    cpu: cpu ?? null,
    memory: memory === undefined ? null : Number(memory),
    ...(pids === undefined ? {} : { pids }),
    ...(cpuset.length === 0 ? {} : { cpuset }),
    ...(io.length === 0 ? {} : { io: io.map(plainIo) }),
  };
}

/** Operations and bytes per second of one device. */
function plainIo({ device, readIops, writeIops, readBps, writeBps, directOnly }: eru.IoLimit) {
  const amounts = { read_iops: readIops, write_iops: writeIops, read_bps: readBps, write_bps: writeBps };
  const given = Object.entries(amounts).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, Number(value)]],
  );
  return { device, ...Object.fromEntries(given), ...(directOnly && { direct_only: true }) };
}

/** `/dev/sda read 1M/s 100 op/s, write 2M/s (direct writes only)` */
function ioText({ device, readIops, writeIops, readBps, writeBps, directOnly }: eru.IoLimit): string {
  const sides = [
    { name: 'read', bytes: readBps, operations: readIops },
    { name: 'write', bytes: writeBps, operations: writeIops },
  ].flatMap(({ name, bytes, operations }) => {
    const words = [
      ...(bytes === undefined ? [] : [`${formatSize(Number(bytes))}/s`]),
      ...(operations === undefined ? [] : [`${operations} op/s`]),
    ];
    return words.length === 0 ? [] : [`${name} ${words.join(' ')}`];
  });
  return `${device} ${sides.join(', ')}${directOnly ? ' (direct writes only)' : ''}`;
}

function isoTime(ms: bigint | undefined): string | null {
  return ms === undefined || ms <= 0n ? null : new Date(Number(ms)).toISOString();
}

/** Network -> `address:port`, several separated by commas, as the wire has it. */
function publishOf({ record }: eru.Workload): Record<string, string> {
  return { ...record?.publish };
}

/** Network -> its addresses there, by name. A core of before dual stack tells of one. */
function addressesOf({ status }: eru.Workload): Record<string, string[]> {
  const networks = Object.entries(status?.networks ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(
    networks.map(([name, address]) => [name, status?.addresses[name]?.addresses ?? (address === '' ? [] : [address])]),
  );
}

function rowOf(workload: eru.Workload, nowMs: number, colors: Colors): string[] {
  const { record, status, requested } = workload;
  const effective = status?.effective;
  return [
    record?.name ?? '',
    (record?.id ?? '').slice(0, 12),
    record?.nodename ?? '',
    statusText(workload, colors),
    addressText(workload),
    cpuText(requested, effective),
    pairText(requested?.memory, effective?.memory, (bytes) => formatSize(Number(bytes))),
    String(status?.restarts ?? 0),
    ageText(nowMs - Number(record?.createTime ?? 0n) * 1000),
  ];
}

/** One word for the state, and why when it is not as it should be. */
export function statusText({ status, operation, vanishedAt }: eru.Workload, colors: Colors): string {
  const busy = operation === '' ? '' : colors.dim(' (changing)');
  if (vanishedAt > 0n) return colors.red('vanished') + busy;
  switch (status?.state || (status?.running === true ? 'running' : '')) {
    case '':
      return colors.dim('unknown') + busy;
    case 'running':
      if (status?.healthy === true) return colors.green('healthy') + busy;
      return colors.yellow(withReason('unhealthy', status?.reason)) + busy;
    case 'exited': {
      const code = status?.exitCode ?? 0;
      const how = status?.oomKilled === true ? `${code}, out of memory` : String(code);
      const text = withReason(`exited (${how})`, status?.error);
      return (code === 0 ? text : colors.red(text)) + busy;
    }
    default:
      return colors.yellow(withReason(status?.state ?? '', status?.error)) + busy;
  }
}

function withReason(word: string, reason = ''): string {
  return reason === '' ? word : `${word}: ${reason}`;
}

function addressText(workload: eru.Workload): string {
  const published = Object.values(publishOf(workload)).filter((addresses) => addresses !== '');
  if (published.length > 0) return published.join(',');
  return Object.values(addressesOf(workload)).flat().join(',');
}

/** Bound cores by name, `1 on 0`; else like any other amount. */
function cpuText(requested: eru.Limits | undefined, effective: eru.Limits | undefined): string {
  const bound = requested?.cpuset.join(',') ?? '';
  if (bound === '') return pairText(requested?.cpu, effective?.cpu, String);
  const inEffect = effective?.cpuset.join(',') ?? '';
  return `${requested?.cpu ?? '-'} on ${bound}${inEffect === bound ? '' : `/${inEffect === '' ? '-' : inEffect}`}`;
}

/** Requested, and what the engine enforces where that is something else. */
function pairText<T>(requested: T | undefined, effective: T | undefined, format: (value: T) => string): string {
  const text = (value: T | undefined): string => (value === undefined ? '-' : format(value));
  return `${text(requested)}/${text(effective)}`;
}

export function ageText(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds}s`;
  if (seconds < 120 * 60) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** Everything that is known of one workload. */
export function workloadSheet(workload: eru.Workload, nowMs: number, colors: Colors): string {
  const { record, status, requested } = workload;
  const started = Number(status?.startedAt ?? 0n);
  const limits = (format: eru.Limits | undefined): string =>
    [
      format?.cpu === undefined ? '' : `cpu ${format.cpu}`,
      format?.memory === undefined ? '' : `memory ${formatSize(Number(format.memory))}`,
      format?.pids === undefined ? '' : `processes ${format.pids}`,
      format === undefined || format.cpuset.length === 0 ? '' : `cores ${format.cpuset.join(',')}`,
      ...(format?.io ?? []).map(ioText),
    ]
      .filter((part) => part !== '')
      .join(', ') || 'none';
  return sheet(
    [
      ['Name', record?.name ?? ''],
      ['Id', record?.id ?? ''],
      ['Pod', record?.podname ?? ''],
      ['Node', record?.nodename ?? ''],
      ['Engine', workload.engine],
      ['Image', record?.image ?? ''],
      ['Status', statusText(workload, colors)],
      ['Operation', workload.operation],
      ['Started', started === 0 ? '' : `${new Date(started).toISOString()} (${ageText(nowMs - started)} ago)`],
      ['Restarts', String(status?.restarts ?? 0)],
      ['Published', lines(publishOf(workload))],
      ['Ports', lines(status?.ports ?? {})],
      ['Networks', lines(addressesOf(workload))],
      ['Requested', limits(requested)],
      ['Effective', status === undefined ? '' : limits(status.effective)],
      ['Environment', (record?.env ?? []).join('\n')],
      ['Labels', lines(record?.labels ?? {})],
      ['Resources', record?.resources ?? ''],
    ],
    colors,
  );
}

function lines(map: Readonly<Record<string, unknown>>): string {
  return Object.entries(map)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}: ${String(value)}`)
    .join('\n');
}

export function plainDescription(workload: eru.Workload) {
  const { record, status } = workload;
  return {
    ...plainWorkload(workload),
    image: record?.image ?? '',
    env: record?.env ?? [],
    labels: record?.labels ?? {},
    networks: status?.networks ?? {},
    ports: status?.ports ?? {},
    resources: record === undefined || record.resources === '' ? {} : (JSON.parse(record.resources) as unknown),
    operation: workload.operation,
    error: status?.error ?? '',
    vanished_at: isoTime(workload.vanishedAt),
  };
}
