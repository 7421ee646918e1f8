import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { readCoreConfig, withoutEffect } from './core-config.ts';
import { coreKeyNames, describe as describeKey } from './core-keys.ts';
import { credentialIn, etcdOf, limitsOf, refuseOpenPort, settingsOf } from './core-settings.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function read(text: string, env: Record<string, string> = {}): ReturnType<typeof readCoreConfig> {
  const file = path.join(folder, 'core.yaml');
  await writeFile(file, text);
  return readCoreConfig(file, env);
}

/** What is said of a file, without its folder. */
const complaint = (text: string, env: Record<string, string> = {}): Promise<string> =>
  read(text, env).then(
    () => 'nothing',
    (error: unknown) => (error as Error).message.replaceAll(`${folder}/`, ''),
  );

/** The facts of reference/core-behaviour.md, appendix B, with every block that the original knows. */
const installation = `
log_level: DEBUG
bind: ":5001"
statsd: "127.0.0.1:8125"
profile: ":12346"
cert_path: "/etc/eru/tls"
lock_timeout: 30s
global_timeout: 5m
connection_timeout: 10s
max_concurrency: 100000
store: etcd
wal_file: core.wal
wal_open_timeout: 8s
auth:
  username: admin
  password: secret
grpc:
  max_concurrent_streams: 100
  max_recv_msg_size: 20971520
  service_discovery_interval: 15s
  service_heartbeat_interval: 15s
git:
  scm_type: github
  private_key: ""
  token: ""
etcd:
  machines:
    - "http://10.0.0.1:2379"
    - "http://10.0.0.2:2379"
  prefix: /eru-core
  lock_prefix: core/_lock
docker:
  version: 1.32
  network_mode: bridge
  cert_path: /etc/docker/tls
  hub: hub.docker.com
  namespace: projecteru2
  build_pod: eru
  local_dns: true
  log:
    type: json-file
    config:
      max-size: 10m
scheduler:
  maxshare: -1
  sharebase: 100
resource_plugin:
  dir: /etc/eru/plugins
  call_timeout: 1m30s
  whitelist:
virt:
  version: v1
systemd:
  runtime: io.containerd.eru.v2
log:
  level: WARN
  use_json: true
`;

describe("the original's core.yaml", () => {
  it('is read key for key', async () => {
    const config = await read(installation);
    expect(settingsOf(config, undefined)).toEqual({
      plugins: { dir: '/etc/eru/plugins', callTimeoutMs: 90_000 },
      scheduler: { shareBase: 100, maxShare: -1 },
      core: { ttlMs: 15_000, limits: { lockTimeoutMs: 30_000, externalMs: 300_000, connectMs: 10_000 } },
      builds: {
        scm: 'github',
        token: '',
        cloneTimeoutMs: 300_000,
        home: { hub: 'hub.docker.com', namespace: 'projecteru2' },
        pod: 'eru',
      },
      serving: { maxReceiveBytes: 20_971_520, maxStreams: 100 },
      docker: { networkMode: 'bridge', log: { type: 'json-file', config: { 'max-size': '10m' } } },
      profile: ':12346',
    });
    expect(await etcdOf(config)).toEqual({ endpoints: ['10.0.0.1:2379', '10.0.0.2:2379'], prefix: '/eru-core/' });
    expect(credentialIn(config)).toEqual({ username: 'admin', password: 'secret' });
    expect([config.bind, config['log.level']]).toEqual([':5001', 'warn']);
  });

  it('is told which of its keys have no effect, stale ones apart', async () => {
    const idle = withoutEffect(await read(installation));
    expect(idle.filter(({ use }) => use === 'stale').map(({ key, meaning }) => `${key}: ${meaning}`)).toEqual([
      'log_level: the original does not read it either; write log.level',
      'docker.cert_path: the original does not read it either; write cert_path',
      'docker.local_dns: the original does not read it either; write docker.use_local_dns',
    ]);
    expect(idle.map(({ key }) => key)).toContain('statsd');
    expect(idle.map(({ key }) => key)).not.toContain('bind');
  });

  it('may be empty, and bind a bare port', async () => {
    expect(await read('')).toEqual({});
    expect((await read('bind: 5001')).bind).toBe(':5001');
    expect(await etcdOf(await read('lock_timeout:\netcd:\n'))).toBeUndefined();
    expect(limitsOf(await read('lock_timeout: 1m'))).toEqual({ lockTimeoutMs: 60_000 });
  });

  it.each([
    ['bindd: :5001', 'core.yaml:1:1: unknown key bindd; did you mean bind?'],
    ['etcd:\n  machine: [a]', 'core.yaml:2:3: unknown key etcd.machine; did you mean machines?'],
    ['lock_timeout: 30', 'core.yaml:1:15: lock_timeout: Invalid input: expected string, received number'],
    ['lock_timeout: soon', 'core.yaml:1:15: lock_timeout: "soon" is no duration; write one such as 30s or 5m'],
    ['scheduler: { sharebase: 0 }', 'core.yaml:1:25: scheduler.sharebase: Too small: expected number to be >=1'],
    ['store: redis', 'core.yaml: store: redis is not served; write etcd, or leave it out for the embedded store'],
    [
      'log: { level: loud }',
      'core.yaml:1:15: log.level: Invalid option: expected one of "trace"|"debug"|"info"|"warn"|"error"|"fatal"|"panic"|"disabled"',
    ],
  ])('%s is refused', async (text, message) => {
    expect(await complaint(text)).toBe(message);
  });
});

describe('the environment', () => {
  it('wins over the file: text, lists with commas, numbers', async () => {
    const env = {
      ERU_CORE_ETCD_PREFIX: '/other',
      ERU_CORE_ETCD_MACHINES: 'https://a:2379, https://b:2379',
      ERU_CORE_SCHEDULER_SHAREBASE: '10',
      ERU_CORE_AUTH_PASSWORD: '123456',
      OTHER: 'x',
    };
    const config = await read('etcd: { prefix: /eru }\nauth: { username: 1st, password: file }', env);
    expect(await etcdOf(config)).toEqual({ endpoints: ['a:2379', 'b:2379'], prefix: '/other/', tls: {} });
    expect(credentialIn(config)).toEqual({ username: '1st', password: '123456' });
    expect(config['scheduler.sharebase']).toBe(10);
  });

  it('is held to the same rules', async () => {
    expect(await complaint('', { ERU_CORE_ETCD_PREFX: '/x' })).toBe(
      'ERU_CORE_ETCD_PREFX: no such key; did you mean ERU_CORE_ETCD_PREFIX?',
    );
    expect(await complaint('', { ERU_CORE_LOCK_TIMEOUT: 'soon' })).toBe(
      'ERU_CORE_LOCK_TIMEOUT: "soon" is no duration; write one such as 30s or 5m',
    );
  });
});

describe('what a file may not say', () => {
  it('is half a credential, or no etcd member', async () => {
    const half = await read('auth: { username: admin }');
    expect(() => credentialIn(half)).toThrow('auth.username and auth.password go together; give both, or neither');
    const member = etcdOf(await read('etcd: { machines: [somewhere] }'));
    await expect(member).rejects.toThrow('etcd.machines: "somewhere" is not allowed; write http://HOST:2379');
    const missing = etcdOf(await read('etcd: { machines: ["https://a:1"], ca: /nowhere/ca.pem }'));
    await expect(missing).rejects.toThrow('etcd.ca: /nowhere/ca.pem cannot be read');
  });

  it('is a port without a credential beyond this machine', () => {
    for (const open of [':5001', '0.0.0.0:5001', '10.0.0.1:5001', '[::]:5001'])
      expect(() => refuseOpenPort(open, 'core.yaml')).toThrow(
        `core.yaml: bind: ${open} is reached from other machines, and there is no auth: whoever reaches it runs commands as root on every node. Give auth.username and auth.password, bind 127.0.0.1:5001, or say --no-auth`,
      );
    for (const own of ['127.0.0.1:5001', 'localhost:1', '[::1]:2', 'unix:///run/eru.sock'])
      expect(() => refuseOpenPort(own, 'core.yaml')).not.toThrow();
  });
});

it('docs/config.md says of every key what the code says', async () => {
  const text = await readFile(path.join(import.meta.dirname, '../../../../docs/config.md'), 'utf8');
  const flat = (line: string): string => line.replaceAll(/\s+/g, ' ');
  const rows = coreKeyNames.map((key) => {
    const { use, meaning, reload } = describeKey(key);
    return `| \`${key}\` | ${use === 'used' ? (reload ? 'SIGHUP' : 'start') : 'no effect'} | ${meaning} |`;
  });
  expect(rows.filter((row) => !flat(text).includes(flat(row)))).toEqual([]);
});
