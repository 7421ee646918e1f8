import type { WorkloadSpec } from '../engine.ts';

/** A workload that asks for nothing but a command; `more` is laid over it. */
export function bareSpec(name: string, command: readonly string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  return {
    name,
    labels: {},
    engine: '',
    image: '',
    root: { type: 'host', writable: false },
    command,
    env: [],
    dir: '',
    user: '',
    privileged: false,
    mounts: [],
    ulimits: {},
    pids: 0,
    restart: { type: 'no', retries: 0 },
    stopSignal: '',
    succeeds: '',
    networks: {},
    publish: [],
    dns: [],
    extraHosts: [],
    sysctls: {},
    log: { type: '', config: {} },
    stdin: false,
    engineParams: {},
    rawArgs: new Uint8Array(),
    ...more,
  };
}
