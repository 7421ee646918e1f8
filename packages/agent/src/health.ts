import type { WorkloadState } from '@eru/engines';
import { labelNames } from '@eru/engines';
import type { JsonObject } from '@eru/kit';
import { isJsonObject } from '@eru/kit';

/** As core writes it into the label `ERU_META` (reference/core-behaviour.md, "LabelMeta"). A port is a number or a published name. */
export interface HealthCheck {
  tcpPorts: readonly string[];
  /** Empty = no HTTP probe. */
  httpPort: string;
  /** Path and query. */
  httpUrl: string;
  /** 0 = any status from 200 to 499. */
  httpCode: number;
}

export type Probe =
  | { type: 'http'; host: string; port: number; path: string; code: number }
  | { type: 'tcp'; host: string; port: number };

export interface Health {
  healthy: boolean;
  /** Why not; empty when healthy. The same fault gives the same words, so that it is reported once. */
  reason: string;
}

/** The check of a workload; undefined when it has none, `malformed` when its label cannot be read (which counts as none). */
export function healthCheckOf(labels: Readonly<Record<string, string>>): HealthCheck | 'malformed' | undefined {
  const text = labels[labelNames.meta];
  if (text === undefined || text === '') return undefined;
  const meta = parseObject(text);
  if (meta === undefined) return 'malformed';
  const check = meta['HealthCheck'] ?? undefined;
  if (check === undefined) return undefined;
  if (!isJsonObject(check)) return 'malformed';
  const { TCPPorts: tcpPorts, HTTPPort: httpPort, HTTPURL: httpUrl, HTTPCode: httpCode } = check;
  const known =
    (tcpPorts ?? undefined) === undefined ||
    (Array.isArray(tcpPorts) && tcpPorts.every((port) => typeof port === 'string'));
  if (!known) return 'malformed';
  return {
    tcpPorts: Array.isArray(tcpPorts) ? tcpPorts.map(String) : [],
    httpPort: typeof httpPort === 'string' ? httpPort : '',
    httpUrl: typeof httpUrl === 'string' ? httpUrl : '',
    httpCode: typeof httpCode === 'number' ? httpCode : 0,
  };
}

/** The probes of a running workload, HTTP first; or why they cannot be made. */
export function probesOf(check: HealthCheck, state: Pick<WorkloadState, 'networks' | 'ports'>): Probe[] | string {
  const wanted = [...(check.httpPort === '' ? [] : [check.httpPort]), ...check.tcpPorts];
  if (wanted.length === 0) return [];
  const host = addressOf(state.networks);
  if (host === undefined) return 'it has no address to check';
  const probes: Probe[] = [];
  for (const [index, name] of wanted.entries()) {
    const port = portOf(name, state.ports);
    if (port === undefined) return `port ${name} is neither a number nor published`;
    if (index > 0 || check.httpPort === '') probes.push({ type: 'tcp', host, port });
    else probes.push({ type: 'http', host, port, path: `/${check.httpUrl.replace(/^\//, '')}`, code: check.httpCode });
  }
  return probes;
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
  return address?.replace(/\/\d+$/, '');
}

function portOf(name: string, ports: Readonly<Record<string, number>>): number | undefined {
  const port = ports[name] ?? (/^\d+$/.test(name) ? Number(name) : 0);
  return port > 0 && port < 65536 ? port : undefined;
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
