import type { eru, MessageInitShape, pb } from '@eru/contract';
import {
  addressList,
  addressText,
  firstAddress,
  fromIoMessage,
  hostOf,
  limitsOf,
  toIoMessage,
  type Limits,
  type RunState,
} from '@eru/engines';
import { toSafeNumber } from '@eru/kit';

import type { RunRecord, WorkloadRecord, WorkloadStatusRecord } from '../../state/records.ts';
import type { ClusterView } from '../../state/view.ts';
import { resourcesText } from './resources-json.ts';

export type WorkloadMessage = MessageInitShape<typeof pb.WorkloadSchema>;
export type StatusMessage = MessageInitShape<typeof pb.WorkloadStatusSchema>;
type RunMessage = MessageInitShape<typeof eru.RunStatusSchema>;

/**
 * The status of a workload as it is shown. Nothing runs on a node without a heartbeat, as far as anyone can tell: that is
 * said here, when it is read, and nothing is written for it.
 */
export function shownStatus(
  view: ClusterView,
  record: Pick<WorkloadRecord, 'id' | 'node' | 'vanishedAtMs'>,
): WorkloadStatusRecord | undefined {
  const status = view.workloadStatuses.get(record.id)?.value;
  const reason = whyUnknown(view, record);
  if (status === undefined || reason === undefined) return status;
  return {
    ...status,
    running: false,
    healthy: false,
    ...(status.run !== undefined && { run: { ...status.run, reason } }),
  };
}

function whyUnknown(
  view: ClusterView,
  { node, vanishedAtMs }: Pick<WorkloadRecord, 'node' | 'vanishedAtMs'>,
): string | undefined {
  if (!view.isAvailable(node)) return `no heartbeat from node ${node}`;
  return vanishedAtMs === undefined ? undefined : `not found on node ${node}`;
}

/** An empty message rather than none (section 4.5). The original has one address for each network. */
export function statusMessage(id: string, status: WorkloadStatusRecord | undefined): StatusMessage {
  if (status === undefined) return {};
  const { running, healthy, networks, extension } = status;
  return { id, running, healthy, networks: firstAddresses(networks), extension: Buffer.from(extension, 'base64') };
}

export function workloadMessage(view: ClusterView, record: WorkloadRecord): WorkloadMessage {
  const status = shownStatus(view, record);
  return {
    id: record.id,
    podname: record.pod,
    nodename: record.node,
    name: record.name,
    privileged: record.privileged,
    labels: record.labels,
    publish: published(status?.networks ?? {}, record.publish, { ...record.ports, ...status?.run?.ports }),
    image: record.image,
    status: statusMessage(record.id, status),
    createTime: BigInt(Math.floor(record.createdAtMs / 1000)),
    env: record.env,
    resources: resourcesText(record.resources),
  };
}

function firstAddresses(networks: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(networks).map(([name, text]) => [name, firstAddress(text)]));
}

/** Network -> comma separated `ip:port` (`[ip]:port` of IPv6), of each address all ports; a name stands for the port that was chosen for it. */
export function published(
  networks: Readonly<Record<string, string>>,
  publish: readonly string[],
  ports: Readonly<Record<string, number>>,
): Record<string, string> {
  const numbers = publish.map((port) => ports[port] ?? port).filter((port) => /^\d+$/.test(String(port)));
  if (numbers.length === 0) return {};
  return Object.fromEntries(
    Object.entries(networks)
      .filter(([, address]) => address !== '')
      .map(([network, text]) => {
        const hosts = addressList(text).map((address) => hostOf(address.replace(/\/\d+$/, '')));
        return [network, hosts.flatMap((host) => numbers.map((port) => `${host}:${port}`)).join(',')];
      }),
  );
}

/** Everything that is known of a workload, for eru.v1. */
export function fullWorkload(view: ClusterView, record: WorkloadRecord): MessageInitShape<typeof eru.WorkloadSchema> {
  return {
    record: workloadMessage(view, record),
    app: record.app,
    entrypoint: record.entrypoint,
    engine: record.engine,
    status: runMessage(shownStatus(view, record)),
    requested: limitsMessage(requestedOf(record)),
    operation: view.claims.get(record.id)?.value.operation ?? '',
    vanishedAt: BigInt(record.vanishedAtMs ?? 0),
  };
}

/** Bound cores are enforced by their names alone; what was asked for is an amount of them, too. */
function requestedOf({ engineParams }: WorkloadRecord): Limits {
  const limits = limitsOf(engineParams);
  const cpu = engineParams['cpumem']?.['cpu'];
  return limits.cpuset !== undefined && typeof cpu === 'number' && cpu > 0 ? { ...limits, cpu } : limits;
}

function runMessage(status: WorkloadStatusRecord | undefined): RunMessage {
  if (status === undefined) return {};
  const { running, healthy, networks: texts, run } = status;
  const networks = firstAddresses(texts);
  const lists = Object.entries(texts).map(([name, text]) => [name, { addresses: addressList(text) }] as const);
  const addresses = Object.fromEntries(lists);
  if (run === undefined) return { running, healthy, networks, addresses };
  return {
    state: run.state,
    running,
    healthy,
    reason: run.reason,
    exitCode: run.exitCode,
    oomKilled: run.oomKilled,
    restarts: run.restarts,
    startedAt: BigInt(run.startedAtMs),
    finishedAt: BigInt(run.finishedAtMs),
    networks,
    addresses,
    ports: run.ports,
    effective: limitsMessage(run.effective),
    error: run.error,
  };
}

function limitsMessage({ cpu, memoryBytes, pids, cpuset, io = [] }: Limits): MessageInitShape<typeof eru.LimitsSchema> {
  return {
    ...(cpu !== undefined && { cpu }),
    ...(memoryBytes !== undefined && { memory: BigInt(memoryBytes) }),
    ...(pids !== undefined && { pids }),
    cpuset: [...(cpuset ?? [])],
    io: io.map(toIoMessage),
  };
}

/** What an agent of ours reports. */
export function readReport(status: eru.RunStatus | undefined, extension: Uint8Array): WorkloadStatusRecord {
  return {
    v: 1,
    running: status?.running ?? false,
    healthy: status?.healthy ?? false,
    networks: networksOf(status),
    extension: Buffer.from(extension).toString('base64'),
    ...(status !== undefined && { run: readRun(status) }),
  };
}

/** An agent of before dual stack tells of one address. */
function networksOf(status: eru.RunStatus | undefined): Record<string, string> {
  const lists = Object.entries(status?.addresses ?? {}).map(([name, { addresses }]) => [name, addressText(addresses)]);
  return { ...status?.networks, ...Object.fromEntries(lists) };
}

const runStates: readonly RunState[] = ['created', 'running', 'paused', 'restarting', 'exited'];

function readRun(status: eru.RunStatus): RunRecord {
  const { effective } = status;
  return {
    state: runStates.find((state) => state === status.state) ?? '',
    reason: status.reason,
    exitCode: status.exitCode,
    oomKilled: status.oomKilled,
    restarts: status.restarts,
    startedAtMs: toSafeNumber(status.startedAt, 'started_at'),
    finishedAtMs: toSafeNumber(status.finishedAt, 'finished_at'),
    ports: status.ports,
    effective: {
      ...(effective?.cpu !== undefined && { cpu: effective.cpu }),
      ...(effective?.memory !== undefined && { memoryBytes: toSafeNumber(effective.memory, 'effective.memory') }),
      ...(effective?.pids !== undefined && { pids: effective.pids }),
      ...(effective !== undefined && effective.cpuset.length > 0 && { cpuset: effective.cpuset }),
      ...(effective !== undefined && effective.io.length > 0 && { io: effective.io.map(fromIoMessage) }),
    },
    error: status.error,
  };
}

/** What the original's agent, or its cli, reports. `ttl` 0 = for ever. */
export function readStatus(status: pb.WorkloadStatus): WorkloadStatusRecord {
  const ttlMs = toSafeNumber(status.ttl, 'ttl') * 1000;
  return {
    v: 1,
    running: status.running,
    healthy: status.healthy,
    networks: status.networks,
    extension: Buffer.from(status.extension).toString('base64'),
    ...(ttlMs > 0 && { ttlMs }),
  };
}
