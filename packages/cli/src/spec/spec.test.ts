import { EruError, isEruError } from '@eru/kit';
import { describe, expect, test } from 'vitest';

import { deployRequest } from './deploy-request.ts';
import type { DeployFlags } from './deploy-request.ts';
import { chooseEntrypoint, parseSpec } from './spec.ts';

const surroundings = {
  specFolder: '/srv/app',
  nodeProgram: '/usr/bin/node',
  readFile: () => Promise.resolve(Buffer.from('x')),
};

async function send(yaml: string, flags: DeployFlags = {}, entry?: string) {
  const spec = parseSpec(yaml, 'app.yaml');
  return deployRequest(spec, chooseEntrypoint(spec, entry), flags, surroundings);
}

/** The message of the refusal; anything else fails the test. */
async function complaint(yaml: string, flags: DeployFlags = {}): Promise<string> {
  try {
    await send(yaml, flags);
  } catch (error) {
    if (isEruError(error, 'invalid')) return error.message;
    throw error;
  }
  throw new EruError('internal', 'was accepted');
}

const small = 'appname: hello\npod: p\nentrypoints:\n  web:\n    commands: [/bin/true]\n';

describe('a spec becomes a request', () => {
  test('a file alone is enough; the two names are expanded, others are left to the shell', async () => {
    const { options, process } = await send(`
appname: hello
pod: default
count: 3
cpu: 0.25
memory: 64M
env: { COLOR: blue, DEBUG: true }
labels: { team: web }
entrypoints:
  web:
    commands: ["\${NODE}", "\${SPEC_DIR}/server.js", "\${HOME}"]
    dir: \${SPEC_DIR}
    publish: [http, 8080]
    restart: on-failure:3
    healthcheck: { http_port: http, url: /healthz, code: 200 }
    mounts: ["\${SPEC_DIR}/data:/data:ro"]
    ulimits: { nofile: "1024:4096" }
    pids: 50
    stop_signal: int
`);
    expect(options).toMatchObject({
      name: 'hello',
      podname: 'default',
      count: 3,
      image: '',
      env: ['COLOR=blue', 'DEBUG=true'],
      labels: { team: 'web' },
      networks: { host: '' },
      user: '',
      entrypoint: {
        name: 'web',
        commands: ['/usr/bin/node', '/srv/app/server.js', '${HOME}'],
        dir: '/srv/app',
        publish: ['http', '8080'],
        restart: 'on-failure:3',
        healthcheck: { httpPort: 'http', url: '/healthz', code: 200 },
      },
    });
    expect(process).toEqual({
      root: 'host',
      mounts: [{ source: '/srv/app/data', target: '/data', readOnly: true }],
      ulimits: { nofile: { soft: 1024n, hard: 4096n } },
      pids: 50,
      stopSignal: 'SIGINT',
    });
    expect(JSON.parse(Buffer.from(options?.resources?.['cpumem'] ?? []).toString())).toEqual({
      'cpu-request': 0.25,
      'cpu-limit': 0.25,
      'memory-request': 64 * 1024 ** 2,
      'memory-limit': 64 * 1024 ** 2,
    });
    expect(Object.keys(options?.resources ?? {})).toEqual(['cpumem']);
  });

  test("flags win over the entrypoint, the entrypoint over the file's top; env and labels add up", async () => {
    const yaml = `${small}    count: 2\n    env: [A=2, B=2]\ncount: 1\nenv: {A: 1, C: 1}\nlabels: {x: file}\n`;
    expect((await send(yaml)).options).toMatchObject({ count: 2, env: ['A=2', 'C=1', 'B=2'] });
    const { options } = await send(yaml, { count: 5, env: { A: '3' }, labels: { y: 'flag' }, image: 'alpine' });
    expect(options).toMatchObject({ count: 5, env: ['A=3', 'C=1', 'B=2'], image: 'alpine', user: '0' });
    expect(options?.labels).toEqual({ x: 'file', y: 'flag' });
  });

  test("the original's defaults, and storage only when it is asked for", async () => {
    const cpumem = (await send(small)).options?.resources?.['cpumem'] ?? new Uint8Array();
    expect(JSON.parse(Buffer.from(cpumem).toString())).toEqual({
      'cpu-request': 0,
      'cpu-limit': 1,
      'memory-request': 0,
      'memory-limit': 512 * 1024 ** 2,
    });
    const withVolume = await send(`${small}volumes: ["/a:/b:rw:10G"]\n`);
    expect(JSON.parse(Buffer.from(withVolume.options?.resources?.['storage'] ?? []).toString())).toMatchObject({
      'volumes-limit': ['/a:/b:rw:10G'],
    });
  });

  test('volumes and GPUs reach their kinds', async () => {
    const yaml = `${small}volumes: ["AUTO:/b:rwm:10G:5"]\nvolumes_request: ["AUTO:/b:rwm:1G"]\nstorage: 1K\ngpu: {a100: 2}\n`;
    const { options } = await send(yaml, { gpu: { a100: 1, t4: 1 } });
    const sent = (kind: string): unknown => JSON.parse(Buffer.from(options?.resources?.[kind] ?? []).toString());
    expect(sent('storage')).toEqual({
      'storage-request': 1024,
      'storage-limit': 1024,
      'volumes-request': ['AUTO:/b:rwm:1G'],
      'volumes-limit': ['AUTO:/b:rwm:10G:5'],
    });
    expect(sent('gpu')).toEqual({ prod_count_map: { a100: 1, t4: 1 } });
    await expect(send(yaml, { extra_resources: { gpu: {} } })).rejects.toThrow('leave out one of the two');
  });

  test('networks are one, or a list, each with an address or without; options win', async () => {
    const networks = async (yaml: string, flags: DeployFlags = {}): Promise<unknown> =>
      (await send(`${small}${yaml}`, flags)).options?.networks;
    expect(await networks('')).toEqual({ host: '' });
    expect(await networks('network: web=10.8.0.10\n')).toEqual({ web: '10.8.0.10' });
    expect(await networks('network: web=10.8.0.10,fd00::10\n')).toEqual({ web: '10.8.0.10,fd00::10' });
    expect(await networks('network: ["web=fd00::10,10.8.0.10", db]\n')).toEqual({ web: 'fd00::10,10.8.0.10', db: '' });
    expect(await networks('network: [web, db=10.9.0.2]\n')).toEqual({ web: '', db: '10.9.0.2' });
    expect(await networks('network: web\n', { network: { '/run/netns/blue': '' } })).toEqual({ '/run/netns/blue': '' });
  });

  test('with an image there are no process options', async () => {
    expect((await send(`${small}image: alpine\n`)).process).toBeUndefined();
  });

  test('cmd is split at blanks; an empty one lets the image decide', async () => {
    const yaml = (cmd: string): string => `appname: a\npod: p\nentrypoints: {w: {cmd: "${cmd}"}}\n`;
    expect((await send(yaml('/bin/sh  -x'))).options?.entrypoint?.commands).toEqual(['/bin/sh', '-x']);
    expect((await send(yaml(''))).options?.entrypoint?.commands).toEqual([]);
  });
});

test('a health check that the original cannot say comes as the label that our agents read, in seconds', async () => {
  const check =
    '{grpc_port: rpc, grpc_service: shop, cmds: [a b, c], interval: 5s, timeout: 500ms, failures: 3, start_period: 1m}';
  const { options } = await send(`${small}    publish: [rpc]\n    healthcheck: ${check}\nlabels: {team: web}\n`);
  const label = { cmds: ['a b', 'c'], grpc_port: 'rpc', grpc_service: 'shop', failures: 3 };
  expect(JSON.parse(options?.labels?.['eru.healthcheck'] ?? '')).toEqual({
    ...label,
    interval: 5,
    timeout: 0.5,
    start_period: 60,
  });
  expect(options).toMatchObject({
    labels: { team: 'web' },
    entrypoint: { healthcheck: { tcpPorts: [], httpPort: '' } },
  });
});

describe('a complaint says where, what and what instead', () => {
  test.each([
    [
      'unknown key',
      'appname: a\nentrypoint: {}\n',
      /app\.yaml:2:1: unknown key entrypoint; did you mean entrypoints\?/,
    ],
    [
      'unknown key deep',
      `${small}    healthchek: {}\n`,
      /app\.yaml:6:5: unknown key entrypoints\.web\.healthchek; did you mean healthcheck\?/,
    ],
    [
      'negative memory',
      `${small}memory: -5M\n`,
      /app\.yaml:6:9: memory: "-5M" is not allowed; a size is 0 or more, such as 512M/,
    ],
    ['bad size', `${small}memory: 5X\n`, /app\.yaml:6:9: memory: "5X" is not allowed; write bytes/],
    ['negative cpu', `${small}cpu: -1\n`, /app\.yaml:6:6: cpu: -1 is not allowed; write a number of cores/],
    [
      'a network twice',
      `${small}network: [web, web=10.8.0.2]\n`,
      /network: "web=10.8.0.2" is not allowed; web is there/,
    ],
    [
      'both addresses of a network in a list without quotes',
      `${small}network: [web=10.8.0.10,fd00::10]\n`,
      /network: "fd00::10" is not allowed; it is an address; write both of a network as one text: "network=10.8.0.10,fd00::10"/,
    ],
    [
      'two networks as one text',
      `${small}network: web=10.8.0.10,db\n`,
      /network: "web=10.8.0.10,db" is not allowed; after the = goes an IP address, or an IPv4 and an IPv6 one; several networks are a list/,
    ],
    ['two addresses of one family', `${small}network: web=10.8.0.10,10.8.0.11\n`, /after the = goes an IP address/],
    ['no network', `${small}network: []\n`, /network: \[\] is not allowed; write at least one network/],
    ['count 0', `${small}count: 0\n`, /app\.yaml:6:8: count: 0 is not allowed; .*1 or more/],
    ['strategy', `${small}deploy_strategy: FULL\n`, /deploy_strategy: "FULL" is not allowed; .*AUTO, FILL, EACH/],
    ['strategy that places nothing', `${small}deploy_strategy: dummy\n`, /deploy_strategy: "dummy" is not allowed/],
    ['label', `${small}labels: [nonsense]\n`, /app\.yaml:6:9: labels: "nonsense" is not allowed; write key=value/],
    ['app name with a slash', small.replace('hello', 'a/b'), /app\.yaml:1:10: appname: "a\/b" is not allowed/],
    ['empty app name', small.replace('hello', '""'), /appname: "" is not allowed/],
    ['no app name', small.replace('appname: hello\n', ''), /appname: missing;/],
    ['blank in a name', small.replace('web', 'my web'), /app\.yaml:4:3: entrypoints\.my web: "my web" is not allowed/],
    ['entrypoint with _', small.replace('web', 'a_b'), /app\.yaml:4:3: entrypoints\.a_b: "a_b" is not allowed; .*no _/],
    ['no entrypoints', 'appname: a\nentrypoints: {}\n', /entrypoints: empty/],
    ['port', `${small}    publish: [70000]\n`, /publish: 70000 is not allowed; a port is/],
    [
      'check of a port that is not published',
      `${small}    healthcheck: {http_port: http}\n`,
      /app\.yaml:6:5: entrypoints\.web\.healthcheck: "http" is not allowed; publish has these names: none/,
    ],
    [
      'check every never',
      `${small}    healthcheck: {cmds: [x], interval: 0}\n`,
      /app\.yaml:6:40: entrypoints\.web\.healthcheck\.interval: 0 is not allowed; write a duration of more than 0/,
    ],
    [
      'no failure',
      `${small}    healthcheck: {cmds: [x], failures: 0}\n`,
      /app\.yaml:6:40: .*failures: 0 is not allowed/,
    ],
    ['check of nothing', `${small}    healthcheck: {interval: 5s}\n`, /app\.yaml:6:5: .*write what is checked/],
    ['gRPC of no port', `${small}    healthcheck: {grpc_service: a, cmds: [x]}\n`, /grpc_service needs grpc_port/],
    ['probe', `${small}    healthcheck: {cmd: x}\n`, /app\.yaml:6:19: unknown key .*cmd; did you mean cmds\?/],
    [
      'check in two places',
      `${small}    healthcheck: {cmds: [x]}\nlabels: {eru.healthcheck: "{}"}\n`,
      /labels: eru\.healthcheck and the key healthcheck/,
    ],
    ['relative folder', `${small}    dir: data\n`, /dir: "data" is not allowed; write an absolute path/],
    ['relative root', `${small}root: data\n`, /root: "data" is not allowed; root is host, overlay/],
    ['process keys with an image', `${small}image: alpine\nroot: overlay\n`, /root: is for processes/],
    ['no pod', small.replace('pod: p\n', ''), /pod: missing; give --pod/],
    ['volume without a target', `${small}volumes: ["AUTO"]\n`, /volumes: "AUTO" is not allowed; write source:target/],
    ['volume of no size', `${small}volumes: ["AUTO:/x:rw:big"]\n`, /volumes: "big" is not allowed; write bytes/],
    ['no GPUs', `${small}gpu: {a100: 0}\n`, /gpu: "0" is not allowed; write how many GPUs/],
    ['restart', `${small}    restart: sometimes\n`, /restart: "sometimes" is not allowed/],
    [
      'commands as a text',
      small.replace('[/bin/true]', '/bin/true'),
      /entrypoints\.web\.commands: "\/bin\/true" is not allowed; write a list/,
    ],
    ['nothing where a value belongs', `${small}memory:\n`, /memory: null is not allowed/],
    ['not YAML', 'appname: [', /app\.yaml:1:\d+: /],
  ])('%s', async (_name, yaml, expected) => {
    expect(await complaint(yaml)).toMatch(expected);
  });

  test('several entrypoints and none chosen: they are listed', async () => {
    const yaml = `${small}  worker:\n    cmd: /bin/false\n`;
    expect(await complaint(yaml)).toBe('--entry: missing; hello has several entrypoints: web, worker');
    await expect(send(yaml, {}, 'wrk')).rejects.toThrow(
      '--entry: "wrk" is no entrypoint of hello; it has: web, worker',
    );
    expect((await send(yaml, {}, 'worker')).options?.entrypoint?.name).toBe('worker');
    expect((await send(`${yaml}entry: worker\n`)).options?.entrypoint?.name).toBe('worker');
  });

  test('all complaints come at once', async () => {
    expect((await complaint(`${small}cpu: no\nmemory: lots\n`)).split('\n')).toHaveLength(2);
  });
});
