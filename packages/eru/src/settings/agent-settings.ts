import type { AgentOptions, ForwardingSettings } from '@eru/agent';

import type { AgentConfig } from './agent-keys.ts';

/** What a configuration says of how an agent works, besides where core is. */
export interface AgentSettings {
  /** Endpoint of the engine, as a node has it. */
  engine: string;
  agent: Pick<
    AgentOptions,
    'heartbeatIntervalS' | 'healthcheck' | 'callLimitMs' | 'onlyMine' | 'skip' | 'registration'
  >;
  logs: ForwardingSettings;
  metrics: { stepMs: number; transfers: readonly string[] };
  /** Where HTTP is served. */
  api: string | undefined;
}

const defaultStepS = 10;
const dockerSocket = 'unix:///var/run/docker.sock';

/**
 * @param socket of the node daemon
 * @param pod to add the node to, whatever the file says
 */
export function agentSettings(config: AgentConfig, { socket, pod }: { socket: string; pod?: string }): AgentSettings {
  const engine = engineOf(config, socket);
  const register = pod ?? config['register.pod'];
  const interval = config.heartbeat_interval;
  return {
    engine,
    agent: given({
      // A negative number is how the original switches it off.
      heartbeatIntervalS: interval === undefined ? undefined : Math.max(0, interval),
      callLimitMs: config.global_connection_timeout,
      onlyMine: config.check_only_mine,
      skip: config['yavirt.skip_guest_report_regexps'],
      registration:
        register === undefined
          ? undefined
          : given({
              pod: register,
              endpoint: config['register.endpoint'] ?? engine,
              labels: config['register.labels'],
            }),
      healthcheck: given({
        intervalS: orDefault(config['healthcheck.interval']),
        timeoutS: orDefault(config['healthcheck.timeout']),
        cacheTtlS: orDefault(config['healthcheck.cache_ttl']),
      }),
    }),
    logs: {
      forwards: config['log.forwards'] ?? [],
      ...given({ stdout: config['log.stdout'], queueBytes: config['log.queue'], spoolBytes: config['log.spool'] }),
    },
    metrics: {
      stepMs: (orDefault(config['metrics.step']) ?? defaultStepS) * 1000,
      transfers: config['metrics.transfers'] ?? [],
    },
    api: config['api.addr'] === '' ? undefined : config['api.addr'],
  };
}

function engineOf(config: AgentConfig, socket: string): string {
  switch (config.runtime ?? 'node') {
    case 'docker':
      return config['docker.endpoint'] ?? dockerSocket;
    case 'yavirt':
      return (config['yavirt.endpoint'] ?? '').replace(/^grpc:/, 'virt-grpc:');
    case 'mocks':
      return 'mock://agent';
    case 'node':
      return `eru+unix://${socket}`;
  }
}

/** 0 is what the original takes for "not said". */
function orDefault(seconds: number | undefined): number | undefined {
  return seconds === 0 ? undefined : seconds;
}

/** Without what is not given. */
function given<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
