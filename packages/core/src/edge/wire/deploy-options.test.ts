import { create, eru, pb, type MessageInitShape } from '@eru/contract';
import { expect, test } from 'vitest';

import { readDeploy, readPlacement } from './deploy-options.ts';

type Options = MessageInitShape<typeof pb.DeployOptionsSchema>;
type Process = MessageInitShape<typeof eru.ProcessOptionsSchema>;

const good = {
  name: 'app',
  podname: 'pod',
  image: 'image',
  count: 1,
  entrypoint: { name: 'web', commands: ['serve'] },
};

function read(options: Options | undefined, process?: Process) {
  return readDeploy(options === undefined ? undefined : create(pb.DeployOptionsSchema, options), {
    process: process === undefined ? undefined : create(eru.ProcessOptionsSchema, process),
    anyEngine: process !== undefined,
  });
}

const withEntry = (entrypoint: MessageInitShape<typeof pb.EntrypointOptionsSchema>): Options => ({
  ...good,
  entrypoint: { ...good.entrypoint, ...entrypoint },
});

test.each<[string, Options | undefined]>([
  ['no deploy options', undefined],
  ['no entry in spec', { ...good, entrypoint: { name: '' } }],
  ['app name is empty', { ...good, name: '', podname: '' }],
  ['pod name is empty', { ...good, podname: '', image: '' }],
  ['image is empty', { ...good, image: '', count: 0 }],
  ['count is 0', { ...good, count: 0, entrypoint: { name: 'a_b' } }],
  ["entrypoint name has '_' character", { ...good, count: -1, entrypoint: { name: 'a_b' } }],
  ['count: -1: invalid deploy count', { ...good, count: -1 }],
])('the first failing check of the contract answers: %s', (message, options) => {
  expect(() => read(options)).toThrow(expect.objectContaining({ code: 'invalid', message }));
});

test.each<[string, Options, Process?]>([
  ['name: "a/b"', { ...good, name: 'a/b' }],
  ['name: "a b"', { ...good, name: 'a b' }],
  ['name: "a__b"', { ...good, name: 'a__b' }],
  ['entrypoint.name: "w\\n"', withEntry({ name: 'w\n' })],
  ['count: 100001', { ...good, count: 100_001 }],
  ['nodes_limit: -1', { ...good, nodesLimit: -1 }],
  ['env: "NOVALUE"', { ...good, env: ['A=1', 'NOVALUE'] }],
  ['labels: "eru.coreid"', { ...good, labels: { 'eru.coreid': 'other' } }],
  ['entrypoint.publish: "0"', withEntry({ publish: ['0'] })],
  ['entrypoint.publish: "65536"', withEntry({ publish: ['65536'] })],
  ['entrypoint.publish: "Web"', withEntry({ publish: ['Web'] })],
  ['entrypoint.publish: "80"', withEntry({ publish: ['80', '80'] })],
  ['entrypoint.restart: "sometimes"', withEntry({ restart: 'sometimes' })],
  ['entrypoint.restart: "always:3"', withEntry({ restart: 'always:3' })],
  ['entrypoint.restart: "on-failure:x"', withEntry({ restart: 'on-failure:x' })],
  ['entrypoint.dir: "here"', withEntry({ dir: 'here' })],
  ['entrypoint.healthcheck.http_port: "api"', withEntry({ publish: ['web'], healthcheck: { httpPort: 'api' } })],
  ['entrypoint.healthcheck.tcp_ports: "0"', withEntry({ healthcheck: { tcpPorts: ['0'] } })],
  ['entrypoint.healthcheck.code: 9', withEntry({ healthcheck: { code: 9 } })],
  ['process.root: "there"', good, { root: 'there' }],
  ['process.mounts.target: "x"', good, { mounts: [{ source: '/a', target: 'x' }] }],
  ['process.ulimits.nofile: "2:1"', good, { ulimits: { nofile: { soft: 2n, hard: 1n } } }],
  ['process.pids: -1', good, { pids: -1 }],
  ['data: "etc/x"', { ...good, data: { 'etc/x': new Uint8Array() } }],
  ['modes: 4096', { ...good, data: { '/x': new Uint8Array() }, modes: { '/x': { mode: 4096n } } }],
  ['owners: "-1:0"', { ...good, data: { '/x': new Uint8Array() }, owners: { '/x': { uid: -1 } } }],
])('what only we check names field and value: %s', (message, options, process) => {
  expect(() => read(options, process)).toThrow(
    expect.objectContaining({ code: 'invalid', message: expect.stringContaining(message) }),
  );
});

test('files have a mode and an owner, and are executable by all without both', () => {
  const contents = new Uint8Array([1]);
  const files = read({
    ...good,
    data: { '/etc/a': contents, '/etc/b': contents, '/etc/c': contents },
    modes: { '/etc/b': { mode: 0o600n } },
    owners: { '/etc/b': { uid: 7, gid: 8 }, '/etc/c': { uid: 7, gid: 0 } },
  }).files;
  expect(Object.fromEntries(files)).toEqual({
    '/etc/a': { contents, mode: 0o755, uid: 0, gid: 0 },
    '/etc/b': { contents, mode: 0o600, uid: 7, gid: 8 },
    '/etc/c': { contents, mode: 0, uid: 7, gid: 0 },
  });
});

const digest = `sha256:${'a1'.repeat(32)}`;

test.each(['busybox', 'a/b_c/d--e.f:1.36', 'Host.example:5000/a:V-1', '[::1]:5000/a', `localhost/a:1@${digest}`])(
  'an image may be called %s',
  (image) => {
    expect(read({ ...good, image }).template.image).toBe(image);
  },
);

test.each(['UPPER', 'host/UPPER:1', 'a:b:c', 'a:', 'a ', '-a', 'a//b', 'a@sha256:12', `a:${'x'.repeat(129)}`])(
  'no image is called %j',
  (image) => {
    expect(() => read({ ...good, image })).toThrow(`image: ${JSON.stringify(image)} is not allowed; write [HOST`);
  },
);

test('a process needs a command, and no image', () => {
  expect(read({ ...good, image: '' }, {}).template).toMatchObject({
    image: '',
    command: ['serve'],
    root: { type: 'host', writable: false },
  });
  expect(() => read({ ...good, image: '', entrypoint: { name: 'web' } }, {})).toThrow('a process needs a command');
});

test('commands win over the command line; the line is split with the extra arguments', () => {
  const line = withEntry({ commands: [], command: "sh  -c 'echo a b'" });
  expect(read({ ...line, extraArgs: 'x "y z"' }).template.command).toEqual(['sh', '-c', 'echo a b', 'x', 'y z']);
  expect(read({ ...withEntry({ command: 'other' }), extraArgs: 'x' }).template.command).toEqual(['serve']);
});

test('ERU_META has the names that the agent of the original reads', () => {
  expect(JSON.parse(read(good).meta)).toEqual({ Publish: null, HealthCheck: null });
  const checked = withEntry({
    publish: ['web', '80'],
    healthcheck: { tcpPorts: ['80'], httpPort: 'web', url: '/ok', code: 204 },
  });
  expect(JSON.parse(read(checked).meta)).toEqual({
    Publish: ['web', '80'],
    HealthCheck: { TCPPorts: ['80'], HTTPPort: 'web', HTTPURL: '/ok', HTTPCode: 204 },
  });
});

test('restart policies, hooks and roots', () => {
  const request = read(
    withEntry({ restart: 'on-failure:3', hook: { afterStart: ['a'], beforeStop: ['b'], force: true } }),
    { root: '/srv/root' },
  );
  expect(request.template.restart).toEqual({ type: 'on-failure', retries: 3 });
  expect(request.hook).toEqual({ afterStart: ['a'], beforeStop: ['b'], force: true });
  expect(request.template.root).toEqual({ type: 'folder', path: '/srv/root', readOnly: false });
  expect(read(good, { root: 'overlay' }).template.root).toEqual({ type: 'host', writable: true });
  expect(read(good)).toMatchObject({ hook: null, template: { restart: { type: 'no', retries: 0 } } });
});

test('a node filter replaces the legacy lists; an unknown strategy is none', () => {
  const legacy = { ...good, nodenames: ['n1'], nodelabels: { a: 'b' } };
  expect(readPlacement(create(pb.DeployOptionsSchema, legacy)).nodes).toEqual({
    pod: 'pod',
    includes: ['n1'],
    excludes: [],
    labels: { a: 'b' },
    engine: 'docker',
  });
  const filtered = readPlacement(
    create(pb.DeployOptionsSchema, { ...legacy, nodeFilter: { excludes: ['n2'] }, deployStrategy: 7 as never }),
  );
  expect(filtered).toMatchObject({ strategy: undefined, nodes: { includes: [], excludes: ['n2'], labels: {} } });
});
