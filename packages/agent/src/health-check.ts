import { labelNames } from '@eru/engines';
import { isJsonObject, parseJsonObject } from '@eru/kit';

/** What is asked of a workload that runs, and when. A port is a number or a published name. */
export interface HealthCheck extends ProbeWishes, CheckTimes {}

interface ProbeWishes {
  tcpPorts: readonly string[];
  /** Empty = no HTTP probe. */
  httpPort: string;
  /** Path and query. */
  httpUrl: string;
  /** 0 = any status from 200 to 499. */
  httpCode: number;
  /** Empty = no gRPC probe. */
  grpcPort: string;
  grpcService: string;
  /** Each is run by `/bin/sh -c` in the workload and has to end with 0. */
  commands: readonly string[];
}

interface CheckTimes {
  /** Seconds between two checks; absent: those of the agent's sweep. */
  intervalS?: number;
  /** Seconds for one probe; absent: the agent's. */
  timeoutS?: number;
  /** Failed checks in a row that make it unhealthy. */
  failures: number;
  /** Good checks in a row that make it healthy. */
  successes: number;
  /** Seconds from its start in which failed checks do not count. */
  startPeriodS: number;
}

/** Further wishes, as JSON in a label of the user's (docs/agent.md); what the original's label cannot say. */
export const healthLabel = 'eru.healthcheck';

/** Keys of `eru.healthcheck`. Numbers are seconds or counts. */
interface Wishes {
  cmds?: string[];
  grpc_port?: string;
  grpc_service?: string;
  interval?: number;
  timeout?: number;
  failures?: number;
  successes?: number;
  start_period?: number;
}

/**
 * The check that the labels `ERU_META` (reference/core-behaviour.md, "LabelMeta") and `eru.healthcheck` ask for; undefined
 * when there is none, `malformed` when one of them cannot be read (which counts as none).
 */
export function healthCheckOf(labels: Readonly<Record<string, string>>): HealthCheck | 'malformed' | undefined {
  const meta = fromMeta(labels[labelNames.meta]);
  const wishes = fromWishes(labels[healthLabel]);
  if (meta === 'malformed' || wishes === 'malformed') return 'malformed';
  if (meta === undefined && wishes === undefined) return undefined;
  const { cmds = [], grpc_port: grpcPort = '', grpc_service: grpcService = '', interval, timeout } = wishes ?? {};
  const { failures = 1, successes = 1, start_period: startPeriodS = 0 } = wishes ?? {};
  const given = meta ?? { tcpPorts: [], httpPort: '', httpUrl: '', httpCode: 0 };
  const times = { failures, successes, startPeriodS };
  return {
    ...given,
    ...times,
    grpcPort,
    grpcService,
    commands: cmds,
    ...(interval !== undefined && { intervalS: interval }),
    ...(timeout !== undefined && { timeoutS: timeout }),
  };
}

function fromMeta(
  text: string | undefined,
): Pick<HealthCheck, 'tcpPorts' | 'httpPort' | 'httpUrl' | 'httpCode'> | 'malformed' | undefined {
  if (text === undefined || text === '') return undefined;
  const meta = parseJsonObject(text);
  if (meta === undefined) return 'malformed';
  const check = meta['HealthCheck'] ?? undefined;
  if (check === undefined) return undefined;
  if (!isJsonObject(check)) return 'malformed';
  const { TCPPorts: tcpPorts, HTTPPort: httpPort, HTTPURL: httpUrl, HTTPCode: httpCode } = check;
  if ((tcpPorts ?? undefined) !== undefined && !isTexts(tcpPorts)) return 'malformed';
  return {
    tcpPorts: isTexts(tcpPorts) ? tcpPorts : [],
    httpPort: typeof httpPort === 'string' ? httpPort : '',
    httpUrl: typeof httpUrl === 'string' ? httpUrl : '',
    httpCode: typeof httpCode === 'number' ? httpCode : 0,
  };
}

const wishTypes: Readonly<Record<keyof Wishes, (value: unknown) => boolean>> = {
  cmds: isTexts,
  grpc_port: (value) => typeof value === 'string',
  grpc_service: (value) => typeof value === 'string',
  interval: isAbove(0),
  timeout: isAbove(0),
  failures: isCount,
  successes: isCount,
  start_period: isAbove(-1),
};

function fromWishes(text: string | undefined): Wishes | 'malformed' | undefined {
  if (text === undefined || text === '') return undefined;
  const given = parseJsonObject(text);
  if (given === undefined) return 'malformed';
  const known = Object.entries(given).every(([key, value]) => {
    const fits = Object.entries(wishTypes).find(([name]) => name === key)?.[1];
    return fits?.(value) ?? false;
  });
  return known ? given : 'malformed';
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

function isCount(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 1;
}

function isAbove(least: number): (value: unknown) => boolean {
  return (value) => typeof value === 'number' && value > least;
}
