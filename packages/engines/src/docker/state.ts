import { addressText } from '../addresses.ts';
import type { Limits, RunState, WorkloadState } from '../engine.ts';
import { portsLabel } from './create-body.ts';
import { limitsOfResources } from './resources.ts';
import type { Container } from './wire-types.ts';

/** What is known beside the container itself. */
interface Beside {
  /** Of the node. */
  cores: number;
  /** The node's address, which a container on the host's network has. */
  host: string;
  revision: number;
  /** Read back from the kernel; absent where only docker's word is known. */
  enforced?: Limits | undefined;
}

/** A container as the workload that it is. */
export function stateOf(container: Container, { cores, host, revision, enforced }: Beside): WorkloadState {
  const { Id, Name, Created, RestartCount, State, Config, HostConfig, NetworkSettings } = container;
  const labels = Config.Labels ?? {};
  const requested = limitsOfResources(HostConfig, cores);
  const asked = (limits: Limits): Limits =>
    Object.fromEntries(Object.entries(limits).filter(([name]) => name in requested));
  return {
    id: Id,
    name: Name.replace(/^\//, ''),
    labels,
    image: Config.Image,
    user: Config.User,
    state: runState(container),
    pid: State.Running && !State.Restarting ? State.Pid : 0,
    createdAtMs: timeOf(Created),
    startedAtMs: startOf(container),
    restarts: RestartCount,
    exitCode: State.ExitCode,
    oomKilled: State.OOMKilled,
    finishedAtMs: timeOf(State.FinishedAt),
    error: State.Error,
    limits: { requested, effective: asked(enforced ?? requested) },
    networks: State.Running ? addressesOf(NetworkSettings.Networks ?? {}, host) : {},
    ports: JSON.parse(labels[portsLabel] ?? '{}') as Record<string, number>,
    revision,
  };
}

export function runState({ State }: Container): RunState {
  if (State.Paused) return 'paused';
  if (State.Restarting) return 'restarting';
  if (State.Running) return 'running';
  return State.Status === 'created' || timeOf(State.StartedAt) === 0 ? 'created' : 'exited';
}

/** Docker notes the start after the fact: a short run may have ended before. */
function startOf(container: Container): number {
  const { StartedAt, FinishedAt } = container.State;
  const started = timeOf(StartedAt);
  return runState(container) === 'exited' ? Math.min(started, timeOf(FinishedAt)) : started;
}

/** Network name -> addresses. */
function addressesOf(
  networks: NonNullable<Container['NetworkSettings']['Networks']>,
  host: string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(networks).flatMap(([name, { IPAddress = '', GlobalIPv6Address = '' }]) => {
      const text = name === 'host' ? host : addressText([IPAddress, GlobalIPv6Address]);
      return name === 'none' ? [] : [[name, text]];
    }),
  );
}

/** Docker's times have nanoseconds; its zero is in the year 1. */
function timeOf(text: string): number {
  return Math.max(0, Date.parse(text) || 0);
}
