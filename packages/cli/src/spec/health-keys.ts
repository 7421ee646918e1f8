import type { MessageInitShape } from '@eru/contract';
import type { pb } from '@eru/contract';
import { z } from 'zod';

import * as values from './values.ts';

/** Which keys of `healthcheck` there are, and how each is read. `part` makes a part of the spec's schema of a parser. */
export function healthcheckKeys<Part extends <T>(parse: values.Parse<T>) => z.ZodType<T | undefined>>(part: Part) {
  return z.strictObject({
    tcp_ports: part(values.ports),
    http_port: part(values.port),
    url: part(values.text),
    code: part(httpStatus),
    cmds: part(values.texts),
    grpc_port: part(values.port),
    grpc_service: part(values.text),
    interval: part(seconds),
    timeout: part(seconds),
    failures: part(checks),
    successes: part(checks),
    start_period: part(values.duration),
  });
}

export type Healthcheck = z.infer<ReturnType<typeof healthcheckKeys>>;

const httpStatus = values.integer(100, 'write an HTTP status such as 200');
const checks = values.integer(1, 'write how many checks in a row, 1 or more');

/** Milliseconds, more than none. */
function seconds(value: unknown): number {
  const ms = values.duration(value);
  if (ms <= 0) throw values.refuse(value, 'write a duration of more than 0, such as 5s');
  return ms;
}

/** What is wrong with the keys together: a name that is not published, times of nothing. Throws `invalid`. */
export function checkHealthcheck(healthcheck: Healthcheck, published: readonly string[]): void {
  const { tcp_ports: tcpPorts = [], http_port: httpPort, grpc_port: grpcPort, grpc_service: service } = healthcheck;
  const asked = [...tcpPorts, ...[httpPort, grpcPort].filter((port) => port !== undefined)];
  const stranger = asked.find((port) => !/^\d+$/.test(port) && !published.includes(port));
  if (stranger !== undefined) {
    const names = published.filter((port) => !/^\d+$/.test(port)).join(', ') || 'none';
    throw values.refuse(stranger, `publish has these names: ${names}`);
  }
  if (service !== undefined && grpcPort === undefined) throw values.refuse(service, 'grpc_service needs grpc_port');
  if (asked.length === 0 && (healthcheck.cmds ?? []).length === 0)
    throw values.refuse(Object.keys(healthcheck), 'write what is checked: tcp_ports, http_port, grpc_port or cmds');
}

/** The part of it that the original's agent knows too. */
export function healthcheckMessage({
  tcp_ports: tcpPorts = [],
  http_port: httpPort = '',
  url = '',
  code = 0,
}: Healthcheck): MessageInitShape<typeof pb.HealthCheckOptionsSchema> {
  return { tcpPorts, httpPort, url, code };
}

/** The rest, as the label in which agents of ours look for it (docs/agent.md); empty when there is none. */
export function healthcheckLabel({
  tcp_ports: _tcp,
  http_port: _http,
  url: _url,
  code: _code,
  interval,
  timeout,
  start_period: startPeriod,
  ...same
}: Healthcheck): string {
  const times = { interval, timeout, start_period: startPeriod };
  const inSeconds = Object.entries(times).flatMap(([name, ms]) => (ms === undefined ? [] : [[name, ms / 1000]]));
  const wishes = { ...same, ...Object.fromEntries(inSeconds) };
  return Object.keys(wishes).length === 0 ? '' : JSON.stringify(wishes);
}
