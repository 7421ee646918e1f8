import type { MessageInitShape } from '@eru/contract';
import { create, eru, toJson } from '@eru/contract';
import { addressList, firstAddress, toIoMessage, type Limits, type WorkloadState } from '@eru/engines';
import { stableStringify } from '@eru/kit';

import type { Health } from './health.ts';

export type Report = MessageInitShape<typeof eru.WorkloadReportSchema> & { id: string };

/** What core is told of a workload. A workload on the host's network has the node's address (reference/agent.md section 10). */
export function reportOf(state: WorkloadState, health: Health, nodeIp: string): Report {
  const running = state.state === 'running' || state.state === 'paused';
  const networks = running ? Object.entries('host' in state.networks ? { host: nodeIp } : state.networks) : [];
  const { cpu, memoryBytes, pids, cpuset, io = [] }: Limits = state.limits.effective;
  return {
    id: state.id,
    status: {
      state: state.state,
      running,
      healthy: health.healthy,
      reason: health.reason,
      exitCode: state.exitCode,
      oomKilled: state.oomKilled,
      restarts: state.restarts,
      startedAt: BigInt(Math.round(state.startedAtMs)),
      finishedAt: BigInt(Math.round(state.finishedAtMs)),
      networks: Object.fromEntries(networks.map(([name, text]) => [name, firstAddress(text)])),
      addresses: Object.fromEntries(networks.map(([name, text]) => [name, { addresses: addressList(text) }])),
      ports: { ...state.ports },
      effective: {
        ...(cpu !== undefined && { cpu }),
        ...(memoryBytes !== undefined && { memory: BigInt(memoryBytes) }),
        ...(pids !== undefined && { pids }),
        cpuset: [...(cpuset ?? [])],
        io: io.map(toIoMessage),
      },
      error: state.error,
    },
    extension: new TextEncoder().encode(stableStringify(state.labels)),
  };
}

/** Equal reports have equal texts. */
export function textOf(report: Report): string {
  return stableStringify(toJson(eru.WorkloadReportSchema, create(eru.WorkloadReportSchema, report)));
}
