import { expect } from 'vitest';

import { absent, base64, deploy, type Contracts } from './contract-bed.suite.ts';
import { collect } from '../harness.suite.ts';

const noIds = 'no workload IDs given';
const stdout = (text: string): object => ({ data: base64(text) });
/** What every deploy is refused for, in this order. */
const refusals = (code: number): [object, number, string][] => [
  [{}, code, 'no entry in spec'],
  [{ ...deploy, entrypoint: {} }, code, 'no entry in spec'],
  [{ ...deploy, name: '' }, code, 'app name is empty'],
  [{ ...deploy, podname: '' }, code, 'pod name is empty'],
  [{ ...deploy, image: '' }, code, 'image is empty'],
  [{ ...deploy, count: 0 }, code, 'count is 0'],
  [{ ...deploy, entrypoint: { name: 'a_b' } }, code, "entrypoint name has '_' character"],
  [{ ...deploy, count: -1 }, code, 'count: -1: invalid deploy count'],
];

/** Workloads, files and images. */
export const workloadContracts: Contracts = {
  calculateCapacity: {
    good: () => ({ ...deploy, count: 2 }),
    answers: () => [{ total: '2', nodeCapacities: { n1: '2' } }],
    bad: [
      () => [{}, 1041, 'no entry in spec'],
      () => [{ ...deploy, nodenames: ['x'] }, 1041, absent('/node/x')],
      () => [{ ...deploy, deployStrategy: 7 }, 1041, 'deploy method not support yet'],
    ],
  },
  getWorkload: {
    good: ({ id }) => ({ id }),
    answers: ({ id }) => [{ id, podname: 'pod', nodename: 'n1', image: 'image:1', status: {} }],
    bad: [() => [{}, 1051, 'workload ID is empty'], () => [{ id: 'x' }, 1051, absent('/workloads/x')]],
  },
  getWorkloads: {
    good: ({ id }) => ({ IDs: [id] }),
    answers: ({ id }) => [{ workloads: [{ id }] }],
    bad: [({ id }) => [{ IDs: [id, 'x'] }, 1052, absent('/workloads/x')]],
    told: [() => [{}, [{}]]],
  },
  listWorkloads: {
    good: () => ({ appname: 'app', labels: { tier: 'a' } }),
    answers: ({ id }) => [{ id }],
    bad: [],
    told: [() => [{ appname: 'x' }, []]],
  },
  listNodeWorkloads: {
    good: () => ({ nodename: 'n1' }),
    answers: ({ id }) => [{ workloads: [{ id }] }],
    bad: [() => [{}, 1054, 'node name is empty']],
    told: [() => [{ nodename: 'x' }, [{}]]],
  },
  copy: {
    good: ({ id }) => ({ targets: { [id]: { paths: ['/etc/app/config'] } } }),
    answers: ({ id }) => [{ id, name: 'config', path: '/etc/app/config', data: expect.any(String) }],
    bad: [() => [{}, 1061, 'no files to copy']],
    told: [
      ({ id }) => [
        { targets: { [id]: { paths: ['/none', '/etc/none'] } } },
        [
          { id, path: '/none', error: '/none: no such file or folder' },
          { id, path: '/etc/none', error: '/etc/none: no such file or folder' },
        ],
      ],
      () => [{ targets: { x: { paths: ['/a'] } } }, [{ id: 'x', path: '/a', error: absent('/workloads/x') }]],
      ({ id }) => [{ targets: { [id]: {} } }, []],
    ],
  },
  send: {
    good: ({ id }) => ({ IDs: [id], data: { '/etc/new': base64('text') }, modes: { '/etc/new': { mode: '384' } } }),
    answers: ({ id }) => [{ id, path: '/etc/new' }],
    bad: [],
    told: [
      () => [{}, []],
      ({ id }) => [{ IDs: [id] }, []],
      ({ id }) => [{ IDs: [id], data: { '/empty': '' } }, []],
      () => [{ IDs: ['x'], data: { '/a': base64('a') } }, [{ id: 'x', error: absent('/workloads/x') }]],
      ({ id }) => [
        { IDs: [id], data: { a: base64('a') } },
        [{ id, path: 'a', error: 'path: "a" is not allowed; give the absolute path of a file' }],
      ],
    ],
  },
  sendLargeFile: {
    good: ({ id }) => [
      { ids: [id], dst: '/large', size: '6', mode: { mode: '420' }, owner: { uid: 1, gid: 2 }, chunk: base64('abc') },
      { ids: [id], dst: '/large', size: '6', mode: { mode: '420' }, owner: { uid: 1, gid: 2 }, chunk: base64('def') },
    ],
    answers: ({ id }) => [{ id, path: '/large' }],
    bad: [],
    told: [
      () => [[], []],
      ({ id }) => [[{ ids: [id], dst: '/a', size: '1' }], []], // an empty chunk ends it
      () => [[{ dst: '/a', size: '1', chunk: base64('a') }], []],
      // without mode and owner, which crashed the original
      ({ id }) => [[{ ids: [id], dst: '/a', size: '1', chunk: base64('a') }], [{ id, path: '/a' }]],
      ({ id }) => [
        [{ ids: [id], dst: '/a', size: '3', chunk: base64('a') }],
        [{ id, path: '/a', error: 'short file: 1 of 3 bytes came' }],
      ],
      () => [[{ ids: ['x'], dst: '/a', size: '1', chunk: base64('a') }], [{ id: 'x', error: absent('/workloads/x') }]],
    ],
  },
  buildImage: {
    good: () => ({ name: 'app', tags: ['1', '2'], builds: { stages: ['run'], builds: { run: { base: 'busybox' } } } }),
    answers: () => [
      { status: 'pulling busybox', errorDetail: {} },
      { status: 'downloaded busybox' },
      { stream: expect.stringContaining('bytes of context') },
      { id: expect.stringMatching(/^sha256:/) },
      { status: 'pushed hub.example/team/app:1' },
      { stream: 'finished hub.example/team/app:1\n', status: 'finished', progress: 'hub.example/team/app:1' },
      { status: 'pushed hub.example/team/app:2' },
      { stream: 'finished hub.example/team/app:2\n', status: 'finished', progress: 'hub.example/team/app:2' },
    ],
    bad: [
      () => [{ builds: {} }, 1071, 'no builds in spec'],
      () => [{ name: 'app' }, 1071, 'no builds in spec'],
      () => [{ name: 'app', builds: { stages: ['a'] } }, 1071, 'no build spec'],
      () => [
        { name: 'app', builds: { stages: ['a'], builds: { a: { base: 'b', repo: '/etc/app.git' } } } },
        1071,
        '/etc/app.git: invalid git url format',
      ],
      () => [{ name: 'app', buildMethod: 'EXIST', existId: 'x' }, 1071, absent('/workloads/x')],
      () => [{ name: 'app', buildMethod: 'RAW' }, 1071, expect.stringContaining('tar: ')],
    ],
    told: [
      ({ id }) => [
        { name: 'app', buildMethod: 'EXIST', existId: id },
        [
          { id: expect.stringMatching(/^sha256:/) },
          { status: 'pushed hub.example/team/app:latest' },
          { status: 'finished' },
        ],
      ],
      () => [
        { name: 'app', buildMethod: 'RAW', tar: base64('an archive') },
        [{ stream: 'read 10 bytes of context\n' }, {}, {}, { status: 'finished' }],
      ],
    ],
  },
  cacheImage: {
    good: () => ({ podname: 'pod', images: ['a:1', 'b:1'] }),
    answers: () => [
      { image: 'a:1', success: true, nodename: 'n1' },
      { image: 'b:1', success: true, nodename: 'n1' },
    ],
    bad: [
      () => [{ nodenames: ['n1'] }, 1072, 'pod name is empty'],
      () => [{ podname: 'empty' }, 1072, 'pod has no nodes'],
      () => [{ podname: 'pod', nodenames: ['x'] }, 1072, absent('/node/x')],
    ],
    told: [() => [{ podname: 'pod', images: [''] }, [{ nodename: 'n1', message: 'reference: an image needs a name' }]]],
  },
  removeImage: {
    prepare: ({ rpc }) => collect(rpc.cacheImage({ podname: 'pod', images: ['a:1'] })),
    good: () => ({ podname: 'pod', nodenames: ['n1'], images: ['a:1'], prune: true }),
    answers: () => [
      { image: 'a:1', success: true, messages: ['Clean: a:1', expect.stringMatching(/^Clean: sha256:/)] },
    ],
    bad: [
      () => [{}, 1073, 'pod name is empty'],
      () => [{ podname: 'empty' }, 1073, 'pod has no nodes'],
      () => [{ podname: 'pod', nodenames: ['x'] }, 1073, absent('/node/x')],
    ],
    told: [() => [{ podname: 'pod', images: ['x'] }, [{ image: 'x', messages: ['no image x'] }]]],
  },
  listImage: {
    good: () => ({ podname: 'pod', filter: 'image' }),
    answers: () => [{ nodename: 'n1', images: [{ id: expect.stringMatching(/^sha256:/), tags: ['image:1'] }] }],
    bad: [
      () => [{ podname: 'empty' }, 10713, 'pod has no nodes'],
      () => [{ nodenames: ['x'] }, 10713, absent('/node/x')],
    ],
  },
  createWorkload: {
    good: () => deploy,
    answers: () => [{ podname: 'pod', nodename: 'n1', name: expect.stringMatching(/^app_api_/), success: true }],
    bad: refusals(1074).map((refusal) => () => refusal),
    told: [() => [{ ...deploy, podname: 'empty' }, [{ error: 'node map is empty', resources: 'null' }]]],
  },
  replaceWorkload: {
    good: ({ id }) => ({ IDs: [id], deployOpt: deploy }),
    answers: ({ id }) => [{ create: { success: true, nodename: 'n1' }, remove: { id, success: true } }],
    bad: [
      () => [{}, 1075, 'no deploy options'],
      () => [{ deployOpt: {} }, 1075, 'no entry in spec'],
      () => [{ deployOpt: { ...deploy, name: '' } }, 1075, 'app name is empty'],
    ],
    told: [
      ({ id }) => [{ IDs: [id], deployOpt: { ...deploy, image: '' } }, [{ remove: { id }, error: 'no image' }]],
      ({ id }) => [{ IDs: [id], deployOpt: deploy, filterLabels: { tier: 'b' } }, []],
    ],
  },
  removeWorkload: {
    good: ({ id }) => ({ IDs: [id], force: true }),
    answers: ({ id }) => [{ id, success: true }],
    bad: [() => [{}, 2, noIds], ({ id }) => [{ IDs: [id, 'x'] }, 1075, absent('/workloads/x')]],
    told: [({ id }) => [{ IDs: [id] }, [{ id, hook: expect.stringContaining('runs; stop it first') }]]],
  },
  dissociateWorkload: {
    good: ({ id }) => ({ IDs: [id] }),
    answers: ({ id }) => [{ id }],
    bad: [() => [{}, 2, noIds], () => [{ IDs: ['x'] }, 1077, absent('/workloads/x')]],
  },
  controlWorkload: {
    good: ({ id }) => ({ IDs: [id], type: 'suspend' }),
    answers: ({ id }) => [{ id }],
    bad: [() => [{ type: 'stop' }, 2, noIds]],
    told: [
      ({ id }) => [{ IDs: [id], type: 'jump' }, [{ id, error: 'unknown control type' }]],
      () => [{ IDs: ['x'], type: 'stop' }, [{ id: 'x', error: absent('/workloads/x') }]],
    ],
  },
  executeWorkload: {
    good: ({ id }) => [{ workloadId: id, commands: ['speak'] }],
    answers: ({ id }) => [
      { workloadId: id, ...stdout('out\n') },
      { workloadId: id, ...stdout('err\n'), stdStreamType: 'STDERR' },
      { workloadId: id, ...stdout('[exitcode] 3') },
    ],
    bad: [() => [[], 1079, expect.any(String)]],
    told: [() => [[{ workloadId: 'x', commands: ['a'] }], [{ workloadId: 'x', ...stdout(absent('/workloads/x')) }]]],
  },
  reallocResource: {
    good: ({ id }) => ({ id, resources: { cpumem: base64('{"memory-request":1024}') } }),
    answers: () => [{}],
    bad: [
      () => [{}, 10710, noIds],
      () => [{ id: 'x' }, 10710, absent('/workloads/x')],
      ({ id }) => [
        { id, resources: { cpumem: base64('{"memory-request":1099511627776}') } },
        10710,
        'cannot alloc a plan, not enough resource',
      ],
    ],
  },
  logStream: {
    good: ({ id }) => ({ id }),
    answers: ({ id }) => [{ id, ...stdout('ready\n') }],
    bad: [],
    told: [
      () => [{}, [{ error: 'workload ID is empty' }]],
      () => [{ id: 'x' }, [{ id: 'x', error: absent('/workloads/x') }]],
    ],
  },
  runAndWait: {
    good: () => [{ deployOptions: { ...deploy, entrypoint: { name: 'job', commands: ['echo', 'done'] } } }],
    answers: () => [
      { workloadId: expect.any(String), stdStreamType: 'TYPEWORKLOADID' },
      stdout('done\n'),
      stdout('[exitcode] 0'),
    ],
    bad: [
      () => [[], 10712, expect.any(String)],
      () => [[{}], 10712, 'no deploy options'],
      ...refusals(10712).map(([deployOptions, code, text]) => (): [object, number, string] => [
        [{ deployOptions }],
        code,
        text,
      ]),
      () => [
        [{ deployOptions: { ...deploy, count: 2, openStdin: true } }],
        10712,
        'count must be 1 if OpenStdin is true',
      ],
    ],
  },
  rawEngine: {
    good: ({ id }) => ({ id, op: 'echo', params: base64('hello') }),
    answers: ({ id }) => [{ id, data: base64('hello') }],
    bad: [
      () => [{ op: 'echo' }, 1057, 'workload ID is empty'],
      ({ id }) => [{ id }, 1057, 'raw engine op is empty'],
      () => [{ id: 'x', op: 'echo' }, 1057, absent('/workloads/x')],
      ({ id }) => [{ id, op: 'snapshot' }, 1057, expect.stringContaining('not implemented')],
      ({ id }) => [{ id, op: 'snapshot', ignoreLock: true }, 1057, expect.stringContaining('not implemented')],
    ],
  },
};
