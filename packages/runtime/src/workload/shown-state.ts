import type { ExitState, Limits, RunState, WorkloadSpec, WorkloadState } from '@eru/engines';

import { cgroupPath } from '../process/bundle.ts';
import { readLimits } from '../cgroups/cgroup.ts';
import { isFrozen } from '../cgroups/freezer.ts';
import type { Place } from '../process/launcher.ts';
import { shownLimits, wantedLimits } from '../cgroups/limits.ts';
import { networkPlace } from '../networks/network-wishes.ts';
import type { WorkloadStatus } from './workload-folder.ts';

/** A workload as people and cores see it: its record, its status, and what the kernel says of it now. */
export function shownState({ machine, record }: Place, status: WorkloadStatus): WorkloadState {
  const { spec } = record;
  const group = cgroupPath(record.id);
  const running = status.phase === 'running';
  const requested = shownLimits(wantedLimits(status.engineParams, spec.pids).limits);
  // What the kernel holds while it runs, else what it held last.
  const effective = (running ? readLimits(machine.cgroups, group) : undefined) ?? status.effective;
  return {
    id: record.id,
    name: spec.name,
    labels: spec.labels,
    image: spec.image,
    user: spec.user,
    state: running && isFrozen(machine.cgroups, group) ? 'paused' : shownPhase(status),
    pid: running ? (status.run?.main?.pid ?? 0) : 0,
    createdAtMs: record.createdAtMs,
    startedAtMs: status.startedAtMs,
    restarts: status.restarts,
    limits: { requested, effective: askedOf(requested, effective) },
    networks: running ? shownNetworks(spec, status) : {},
    ports: record.ports,
    revision: status.revision,
    ...exitOf(status),
  };
}

function shownNetworks(spec: WorkloadSpec, { run }: WorkloadStatus): Readonly<Record<string, string>> {
  return networkPlace(spec) === 'host' ? { host: '127.0.0.1' } : (run?.network?.addresses ?? {});
}

export function exitOf({ exitCode, oomKilled, finishedAtMs, error }: WorkloadStatus): ExitState {
  return { exitCode, oomKilled, finishedAtMs, error };
}

/** Of what the kernel holds, what was asked for. */
function askedOf(requested: Limits, effective: Limits): Limits {
  return Object.fromEntries(Object.entries(effective).filter(([name]) => name in requested));
}

/** A start that is under way shows what was before it. */
function shownPhase({ phase, startedAtMs }: WorkloadStatus): RunState {
  if (phase !== 'starting') return phase;
  return startedAtMs === 0 ? 'created' : 'restarting';
}
