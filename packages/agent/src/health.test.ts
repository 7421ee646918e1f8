import type { WorkloadState } from '@eru/engines';
import { expect, test } from 'vitest';

import type { HealthCheck } from './health.ts';
import { healthCheckOf, healthWithoutProbes, probesOf, statusIsHealthy } from './health.ts';

const none: HealthCheck = { tcpPorts: [], httpPort: '', httpUrl: '', httpCode: 0 };
const meta = (value: unknown): Record<string, string> => ({ ERU_META: JSON.stringify(value) });

test('the check is what the label says, and what cannot be read is no check', () => {
  const full = { TCPPorts: ['80', 'admin'], HTTPPort: 'http', HTTPURL: '/healthz', HTTPCode: 204 };
  expect(healthCheckOf(meta({ Publish: ['http'], HealthCheck: full }))).toEqual({
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
  expect(probesOf({ tcpPorts: ['admin', '22'], httpPort: 'http', httpUrl: '/up?x=1', httpCode: 200 }, state)).toEqual([
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
