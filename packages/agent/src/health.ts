import { firstAddress, type WorkloadState } from '@eru/engines';

import type { HealthCheck } from './health-check.ts';

export type Probe =
  | { type: 'http'; host: string; port: number; path: string; code: number }
  | { type: 'tcp'; host: string; port: number }
  | { type: 'grpc'; host: string; port: number; service: string }
  | { type: 'exec'; command: string };

export interface Health {
  healthy: boolean;
  /** Why not; empty when healthy. The same fault gives the same words, so that it is reported once. */
  reason: string;
}

/** The probes of a running workload, HTTP first; or why they cannot be made. */
export function probesOf(check: HealthCheck, state: Pick<WorkloadState, 'networks' | 'ports'>): Probe[] | string {
  const host = addressOf(state.networks);
  const missing: string[] = [];
  const at = (name: string): { host: string; port: number }[] => {
    const port = portOf(name, state.ports);
    if (host !== undefined && port !== undefined) return [{ host, port }];
    missing.push(host === undefined ? 'it has no address to check' : `port ${name} is neither a number nor published`);
    return [];
  };
  const { httpPort, httpUrl, httpCode: code, tcpPorts, grpcPort, grpcService: service, commands } = check;
  const path = `/${httpUrl.replace(/^\//, '')}`;
  const probes: Probe[] = [
    ...(httpPort === '' ? [] : at(httpPort)).map((place) => ({ type: 'http' as const, ...place, path, code })),
    ...tcpPorts.flatMap(at).map((place) => ({ type: 'tcp' as const, ...place })),
    ...(grpcPort === '' ? [] : at(grpcPort)).map((place) => ({ type: 'grpc' as const, ...place, service })),
    ...commands.map((command) => ({ type: 'exec' as const, command })),
  ];
  return missing[0] ?? probes;
}

/** `code` 0: from 200 to 499. */
export function statusIsHealthy(status: number, code: number): boolean {
  return code === 0 ? status >= 200 && status < 500 : status === code;
}

/** What a state alone tells: undefined when it runs and its probes decide. */
export function healthWithoutProbes(state: WorkloadState): Health | undefined {
  switch (state.state) {
    case 'running':
      return undefined;
    case 'paused':
      return { healthy: false, reason: 'paused' };
    case 'created':
      return { healthy: false, reason: state.error || 'not started' };
    case 'restarting':
      return { healthy: false, reason: `restarting: ${ending(state)}` };
    case 'exited':
      return { healthy: false, reason: ending(state) };
  }
}

function ending(state: WorkloadState): string {
  if (state.error !== '') return state.error;
  return state.oomKilled ? `out of memory, ended with ${state.exitCode}` : `ended with ${state.exitCode}`;
}

/** The host's own network is reached on loopback; of several others, the first by name, so that the choice is stable. */
function addressOf(networks: Readonly<Record<string, string>>): string | undefined {
  if ('host' in networks) return '127.0.0.1';
  const [, address] =
    Object.entries(networks)
      .filter(([, address]) => address !== '')
      .sort(([a], [b]) => (a < b ? -1 : 1))[0] ?? [];
  return address === undefined ? undefined : firstAddress(address).replace(/\/\d+$/, '');
}

function portOf(name: string, ports: Readonly<Record<string, number>>): number | undefined {
  const port = ports[name] ?? (/^\d+$/.test(name) ? Number(name) : 0);
  return port > 0 && port < 65536 ? port : undefined;
}
