import type { Engine, WorkloadSpec } from '@eru/engines';

let specs = 0;

/** A workload with nothing but a command. */
export function specOf(command: readonly string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
  specs += 1;
  const name = `runtime_suite_${String(specs).padStart(4, '0')}`;
  return {
    name,
    labels: { 'eru.operation': name },
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

/** The whole log, line by line. */
export async function lines(engine: Engine, id: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { data } of engine.logs(id)) found.push(Buffer.from(data).toString().trimEnd());
  return found;
}
