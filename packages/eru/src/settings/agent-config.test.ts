import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, expect, it } from 'vitest';

import { agentKeysWithoutEffect, readAgentConfig } from './agent-config.ts';
import { originalFlags } from './agent-flags.ts';
import { agentKeyNames, agentKeys } from './agent-keys.ts';
import { agentSettings } from './agent-settings.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-agent-config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function read(text: string, env: Record<string, string> = {}): ReturnType<typeof readAgentConfig> {
  const file = path.join(folder, 'agent.yaml');
  await writeFile(file, text);
  return readAgentConfig(file, env);
}

const complaint = (text: string, env: Record<string, string> = {}): Promise<string> =>
  read(text, env).then(
    () => 'nothing',
    (error: unknown) => (error as Error).message.replaceAll(`${folder}/`, ''),
  );

/** Every key of reference/agent.md section 3, and what files in the wild still carry. */
const installation = `
pid: /tmp/agent.pid
core:
  - 10.0.0.1:5001
  - 10.0.0.2:5001
heartbeat_interval: 120
check_only_mine: true
store: grpc
runtime: docker
auth:
  username: admin
  password: secret
docker:
  endpoint: tcp://127.0.0.1:2376
yavirt:
  endpoint: grpc://127.0.0.1:9697
  skip_guest_report_regexps:
    - "^00"
metrics:
  step: 30
  transfers:
    - 127.0.0.1:8125
api:
  addr: 127.0.0.1:12345
log:
  forwards:
    - tcp://127.0.0.1:5144
    - journal://localhost
    - __discard__
  stdout: False
healthcheck:
  interval: 15
  timeout: 0
  cache_ttl: 300
  enable_selfmon: true
  status_ttl: 0
global_connection_timeout: 15s
health_check_interval: 5
health_check_timeout: 10
ha_keepalive_interval: 16s
kv: etcd
etcd:
  machines:
    - http://127.0.0.1:2379
`;

it('takes every key of the original, and says of old ones that they do nothing', async () => {
  const config = await read(installation);
  expect(agentSettings(config, { socket: '/run/node.sock' })).toEqual({
    engine: 'tcp://127.0.0.1:2376',
    agent: {
      heartbeatIntervalS: 120,
      callLimitMs: 15_000,
      onlyMine: true,
      skip: [/^00/],
      healthcheck: { intervalS: 15, cacheTtlS: 300 },
    },
    logs: { forwards: ['tcp://127.0.0.1:5144', 'journal://localhost', '__discard__'], stdout: false },
    metrics: { stepMs: 30_000, transfers: ['127.0.0.1:8125'] },
    api: '127.0.0.1:12345',
  });
  expect(agentKeysWithoutEffect(config).map(({ key }) => key)).toEqual([
    'health_check_interval',
    'health_check_timeout',
    'healthcheck.enable_selfmon',
    'healthcheck.status_ttl',
    'ha_keepalive_interval',
    'kv',
    'etcd',
  ]);
});

it('speaks to the node daemon unless told otherwise', async () => {
  const engine = async (text: string): Promise<string> =>
    agentSettings(await read(text), { socket: '/run/node.sock' }).engine;
  expect(await engine('{}')).toBe('eru+unix:///run/node.sock');
  expect(await engine('runtime: docker')).toBe('unix:///var/run/docker.sock');
  expect(await engine('{runtime: yavirt, yavirt: {endpoint: "grpc://127.0.0.1:9697"}}')).toBe(
    'virt-grpc://127.0.0.1:9697',
  );
  expect(await engine('runtime: mocks')).toBe('mock://agent');
});

it('registers its node where it is told to, and beats as often', async () => {
  const of = async (text: string, pod?: string): Promise<unknown> =>
    agentSettings(await read(text), { socket: '/run/node.sock', ...(pod !== undefined && { pod }) }).agent;
  const endpoint = 'eru+unix:///run/node.sock';
  expect(await of('{}', 'web')).toMatchObject({ registration: { pod: 'web', endpoint } });
  expect(await of('register: {pod: virt, endpoint: "tcp://10.0.0.9:2376", labels: {zone: a}}')).toMatchObject({
    registration: { pod: 'virt', endpoint: 'tcp://10.0.0.9:2376', labels: { zone: 'a' } },
  });
  expect(await of('heartbeat_interval: -1')).toMatchObject({ heartbeatIntervalS: 0 });
});

it.each([
  ['log: {forward: [x]}', 'agent.yaml:1:7: unknown key log.forward; did you mean forwards?'],
  ['heartbeat: 5', 'agent.yaml:1:1: unknown key heartbeat; known keys: '],
  ['api:\n  addr: 70000', 'agent.yaml:2:9: api.addr: '],
  ['global_connection_timeout: 5', 'agent.yaml:1:28: global_connection_timeout: '],
  ['log: {spool: lots}', 'agent.yaml:1:14: log.spool: '],
  ['yavirt: {skip_guest_report_regexps: ["("]}', 'agent.yaml:1:37: yavirt.skip_guest_report_regexps: '],
])('%s is refused', async (text, words) => {
  expect(await complaint(text)).toContain(words);
});

it('the environment wins, under the names of the original', async () => {
  const env = {
    ERU_AGENT_CONFIG_PATH: '/etc/eru/agent.yaml',
    ERU_AGENT_EXPERIMENTAL_FILTER: 'label',
    ERU_AGENT_CORE_ENDPOINT: 'a:5001,b:5001',
    ERU_AGENT_CORE_PASSWORD: 'other',
    ERU_AGENT_LOG_STDOUT: 'yes',
    ERU_AGENT_HEALTH_CHECK_INTERVAL: '7',
    ERU_AGENT_LOG_SPOOL: '1G',
  };
  expect(await read('{core: x, auth: {password: one}}', env)).toEqual({
    core: ['a:5001', 'b:5001'],
    'auth.password': 'other',
    'log.stdout': true,
    'log.spool': 2 ** 30,
    'healthcheck.interval': 7,
  });
  expect(await complaint('{}', { ERU_AGENT_LOG_FORWARD: 'x' })).toBe(
    'ERU_AGENT_LOG_FORWARD: no such key; did you mean ERU_AGENT_LOG_FORWARDS?',
  );
});

it('every flag of the original sets a key that there is', async () => {
  const samples: Record<string, string> = {
    ERU_AGENT_LOG_LEVEL: 'INFO',
    ERU_AGENT_STORE: 'grpc',
    ERU_AGENT_RUNTIME: 'docker',
    ERU_AGENT_LOG_STDOUT: 'no',
    ERU_AGENT_CHECK_ONLY_MINE: 'true',
  };
  for (const variable of Object.values(originalFlags).filter((name) => name !== 'ERU_HOSTNAME'))
    expect(Object.keys(await read('{}', { [variable]: samples[variable] ?? '1' })), variable).toHaveLength(1);
});

it('docs/config.md says of every key what the code says', async () => {
  const text = await readFile(path.join(import.meta.dirname, '../../../../docs/config.md'), 'utf8');
  const rows = agentKeyNames.map((key) => {
    const { use, meaning } = agentKeys[key];
    return `| \`${key}\` | ${use === 'used' ? 'start' : 'no effect'} | ${meaning} |`;
  });
  expect(text).toContain(rows.join('\n'));
});
