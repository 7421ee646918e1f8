import { describe, expect, test } from 'vitest';

import { bareSpec } from '../contract/bare-spec.ts';
import type { WorkloadSpec } from '../engine.ts';
import { createBody, defaultSettings, type Surroundings } from './create-body.ts';

function body(spec: Partial<WorkloadSpec>, surroundings: Partial<Surroundings> = {}) {
  return createBody(bareSpec('web', [], { image: 'web:1', ...spec }), {
    settings: defaultSettings,
    host: '10.0.0.7',
    daemon: 'docker',
    ulimits: [],
    logDriver: 'json-file',
    ports: {},
    ...surroundings,
  });
}

describe('variables in volumes', () => {
  const bind = (volume: string) =>
    body(
      { env: ['WHERE=/srv/a=b', 'EMPTY='], engineParams: { storage: { volumes: [volume] } } },
      { ports: { http: 20_001 } },
    ).HostConfig.Binds?.join();

  test.each([
    ['$WHERE/x:/data', '/srv/a=b/x:/data:rw'],
    ['${WHERE}x:/data:ro', '/srv/a=bx:/data:ro'],
    ['/x$EMPTY:/data', '/x:/data:rw'],
    ['/$ERU_NODE_IP:/data', '/10.0.0.7:/data:rw'],
    ['named:/$ERU_PORT_HTTP', 'named:/20001:rw'],
  ])('%s is %s', (volume, made) => {
    expect(bind(volume)).toBe(made);
  });

  test.each(['$NONE/data:/data', '${NONE}:/data', '/data:/$HOME'])('%s, which is not set, is refused', (volume) => {
    expect(() => bind(volume)).toThrow(
      expect.objectContaining({ code: 'invalid', message: expect.stringMatching(/^volumes: .*set .* in env/) }),
    );
  });
});

test('storage is what is left of it for the layer, volumes taken off', () => {
  const layer = (storage: number, volumes: string[]) =>
    body({ engineParams: { storage: { storage, volumes } } }).HostConfig.StorageOpt;
  expect(layer(3 * 2 ** 30, ['/a:/a:rw:1G'])).toEqual({ size: String(2 * 2 ** 30) });
  expect(layer(2 ** 30, ['/a:/a:rw:1G'])).toEqual({});
  expect(layer(0, [])).toEqual({});
  const rawArgs = Buffer.from('{"storage_opt":{"size":"5G"}}');
  expect(body({ rawArgs, engineParams: { storage: { storage: 2 ** 30 } } }).HostConfig.StorageOpt).toEqual({
    size: '5G',
  });
});

test.each<[string, Partial<WorkloadSpec>, string, string[]]>([
  ['the node', {}, '10.0.0.7', ['10.0.0.7']],
  ['its own', { dns: ['1.1.1.1'] }, '10.0.0.7', ['1.1.1.1']],
  ['none of a daemon on core’s machine', {}, '127.0.0.1', []],
  ['none of a machine known by its name', {}, 'box.example', []],
  ["none on the host's network", { networks: { host: '' } }, '10.0.0.7', []],
])('with use_local_dns the name server is %s', (_what, spec, host, dns) => {
  const settings = { ...defaultSettings, useLocalDns: true };
  expect(body(spec, { settings, host }).HostConfig.Dns).toEqual(dns);
});

describe('for podman', () => {
  const ulimits = [
    { Name: 'nofile', Soft: 1024, Hard: 1024 },
    { Name: 'nproc', Soft: 512, Hard: 512 },
  ];
  const made = (spec: Partial<WorkloadSpec>, daemon: Surroundings['daemon'] = 'podman') =>
    body(spec, { daemon, ulimits });

  test('an address on the network bridge is asked for by its own name', () => {
    const endpoints = { IPAMConfig: { IPv4Address: '10.88.0.7' } };
    const { HostConfig, NetworkingConfig } = made({ networks: { bridge: '10.88.0.7' } });
    expect(HostConfig.NetworkMode).toBe('bridge');
    expect(NetworkingConfig.EndpointsConfig).toEqual({ podman: endpoints });
    expect(made({ networks: { lan: '10.88.0.7' } }).NetworkingConfig.EndpointsConfig).toEqual({ lan: endpoints });
  });

  test('its log has the options of the spec alone', () => {
    const log = { type: 'k8s-file', config: { 'max-size': '1m' } };
    expect(made({ log }).HostConfig.LogConfig).toEqual({ Type: 'k8s-file', Config: { 'max-size': '1m' } });
    expect(made({}).HostConfig.LogConfig).toEqual({ Type: '', Config: {} });
    expect(made({}, 'docker').HostConfig.LogConfig?.Config).toHaveProperty('tag');
  });

  test('no limit of processes is said, for it has one of its own', () => {
    expect(made({}).HostConfig.PidsLimit).toBe(0);
    expect(made({ pids: 64 }).HostConfig.PidsLimit).toBe(64);
    expect(made({}, 'docker').HostConfig).not.toHaveProperty('PidsLimit');
  });

  test('the ulimits that are not named are told all the same', () => {
    const asked = { nofile: { soft: 10, hard: 20 } };
    const own = { Name: 'nofile', Soft: 10, Hard: 20 };
    expect(made({ ulimits: asked }).HostConfig.Ulimits).toEqual([own, ulimits[1]]);
    expect(made({ ulimits: asked }, 'docker').HostConfig.Ulimits).toEqual([own]);
    for (const daemon of ['podman', 'docker'] as const) expect(made({}, daemon).HostConfig.Ulimits).toEqual(ulimits);
  });
});
