import type { WorkloadState } from '@eru/engines';
import { expect, test } from 'vitest';

import type { HealthCheck } from './health-check.ts';
import { healthCheckOf } from './health-check.ts';
import { healthWithoutProbes, probesOf, statusIsHealthy } from './health.ts';
import type { Verdict } from './verdict.ts';
import { nextVerdict } from './verdict.ts';

const times = { failures: 1, successes: 1, startPeriodS: 0 };
const none: HealthCheck = {
  ...times,
  tcpPorts: [],
  httpPort: '',
  httpUrl: '',
  httpCode: 0,
  grpcPort: '',
  grpcService: '',
  commands: [],
};
const meta = (value: unknown): Record<string, string> => ({ ERU_META: JSON.stringify(value) });

test('the check is what the label says, and what cannot be read is no check', () => {
  const full = { TCPPorts: ['80', 'admin'], HTTPPort: 'http', HTTPURL: '/healthz', HTTPCode: 204 };
  expect(healthCheckOf(meta({ Publish: ['http'], HealthCheck: full }))).toEqual({
    ...none,
    tcpPorts: ['80', 'admin'],
    httpPort: 'http',
    httpUrl: '/healthz',
    httpCode: 204,
  });
  expect(healthCheckOf(meta({ HealthCheck: { TCPPorts: null, HTTPPort: '' } }))).toEqual(none);
  expect(healthCheckOf(meta({ Publish: null, HealthCheck: null }))).toBeUndefined();
  expect(healthCheckOf({})).toBeUndefined();
  for (const text of ['{', '[]', '"x"', '{"HealthCheck":3}', '{"HealthCheck":{"TCPPorts":[80]}}'])
    expect(healthCheckOf({ ERU_META: text }), text).toBe('malformed');
});

test('a port may be a published name; HTTP comes first', () => {
  const state = { networks: { host: '10.0.0.9' }, ports: { http: 20_001, admin: 20_002 } };
  const host = '127.0.0.1';
  expect(
    probesOf({ ...none, tcpPorts: ['admin', '22'], httpPort: 'http', httpUrl: '/up?x=1', httpCode: 200 }, state),
  ).toEqual([
    { type: 'http', host, port: 20_001, path: '/up?x=1', code: 200 },
    { type: 'tcp', host, port: 20_002 },
    { type: 'tcp', host, port: 22 },
  ]);
  expect(probesOf({ ...none, httpPort: '80' }, state)).toMatchObject([{ path: '/' }]);
  expect(probesOf({ ...none, tcpPorts: ['metrics'] }, state)).toBe('port metrics is neither a number nor published');
  expect(probesOf({ ...none, tcpPorts: ['0'] }, state)).toContain('port 0');
  expect(probesOf({ ...none, tcpPorts: ['65536'] }, state)).toContain('port 65536');
});

test('off the host network the address of the first network by name is checked', () => {
  const check = { ...none, tcpPorts: ['80'] };
  const networks = { zeta: '10.1.0.2', alpha: '', beta: '10.2.0.2/24' };
  expect(probesOf(check, { networks, ports: {} })).toEqual([{ type: 'tcp', host: '10.2.0.2', port: 80 }]);
  const both = { web: '10.8.0.2,fd00::2' };
  expect(probesOf(check, { networks: both, ports: {} })).toEqual([{ type: 'tcp', host: '10.8.0.2', port: 80 }]);
  expect(probesOf(check, { networks: { none: '' }, ports: {} })).toBe('it has no address to check');
  expect(probesOf(none, { networks: {}, ports: {} })).toEqual([]);
});

test('code 0 takes 200 to 499, any other code only itself', () => {
  expect([199, 200, 404, 499, 500].map((status) => statusIsHealthy(status, 0))).toEqual([
    false,
    true,
    true,
    true,
    false,
  ]);
  expect([200, 204].map((status) => statusIsHealthy(status, 204))).toEqual([false, true]);
});

test('what does not run is not healthy, and says why', () => {
  const state = (change: Partial<WorkloadState>): WorkloadState =>
    ({ state: 'exited', exitCode: 0, oomKilled: false, error: '', ...change }) as WorkloadState;
  expect(healthWithoutProbes(state({ state: 'running' }))).toBeUndefined();
  const reasons = [
    state({ exitCode: 3 }),
    state({ exitCode: 137, oomKilled: true }),
    state({ error: 'no such program' }),
    state({ state: 'restarting', exitCode: 1 }),
    state({ state: 'paused' }),
    state({ state: 'created' }),
  ].map((one) => healthWithoutProbes(one));
  expect(reasons.every((health) => health?.healthy === false)).toBe(true);
  expect(reasons.map((health) => health?.reason)).toEqual([
    'ended with 3',
    'out of memory, ended with 137',
    'no such program',
    'restarting: ended with 1',
    'paused',
    'not started',
  ]);
});

test('a label of the user adds probes and times, with or without the original’s', () => {
  const wishes = {
    cmds: ['true'],
    grpc_port: 'rpc',
    grpc_service: 'shop.Cart',
    interval: 5,
    failures: 3,
    start_period: 30,
  };
  const label = { 'eru.healthcheck': JSON.stringify(wishes) };
  const wished = {
    commands: ['true'],
    grpcPort: 'rpc',
    grpcService: 'shop.Cart',
    intervalS: 5,
    failures: 3,
    successes: 1,
    startPeriodS: 30,
  };
  expect(healthCheckOf(label)).toEqual({ ...none, ...wished });
  expect(healthCheckOf({ ...label, ...meta({ HealthCheck: { TCPPorts: ['80'] } }) })).toEqual({
    ...none,
    ...wished,
    tcpPorts: ['80'],
  });
  for (const text of ['{"cmds":"true"}', '{"interval":0}', '{"failures":1.5}', '{"retries":3}', '[]'])
    expect(healthCheckOf({ 'eru.healthcheck': text }), text).toBe('malformed');
  expect(probesOf({ ...none, ...wished }, { networks: { host: '' }, ports: { rpc: 9 } })).toEqual([
    { type: 'grpc', host: '127.0.0.1', port: 9, service: 'shop.Cart' },
    { type: 'exec', command: 'true' },
  ]);
  expect(probesOf({ ...none, commands: ['true'] }, { networks: { none: '' }, ports: {} })).toHaveLength(1);
});

test('a verdict turns after as many equal checks in a row as were asked for', () => {
  const judge = (outcomes: string, check: Partial<typeof times>, everyS = 10): string => {
    let verdict: Verdict | undefined;
    return outcomes
      .split('')
      .map((outcome, index) => {
        const found = { healthy: outcome === '+', reason: outcome === '+' ? '' : 'refused' };
        verdict = nextVerdict(verdict, found, { ...times, ...check }, index * everyS);
        return verdict.health.healthy ? '+' : '-';
      })
      .join('');
  };
  expect(judge('+-+', {})).toBe('+-+');
  expect(judge('+--+---+', { failures: 3 })).toBe('++++++-+');
  expect(judge('-+-++', { successes: 2 })).toBe('----+');
  expect(judge('---+--', { failures: 2, startPeriodS: 25 })).toBe('---++-');
  const starting = nextVerdict(undefined, { healthy: false, reason: 'refused' }, { ...times, startPeriodS: 9 }, 1);
  expect(starting.health).toEqual({ healthy: false, reason: 'starting: refused' });
});
