import { expect } from 'vitest';

import { absent, base64, type Contracts } from './contract-bed.suite.ts';

const noName = 'node name is empty';
const resources = { cpumem: base64('{"memory":"512M"}') };
const capacity = (memory: number): unknown => expect.stringContaining(`"memory":${memory}`);

/** Cores, pods, nodes, networks and statuses. */
export const clusterContracts: Contracts = {
  info: {
    good: () => ({}),
    answers: (bed) => [{ version: 'test', identifier: bed.core.cluster, osArch: expect.stringContaining('linux/') }],
    bad: [],
  },
  watchServiceStatus: {
    good: () => ({}),
    answers: () => [{ addresses: ['10.0.0.1:5001'], intervalInSecond: '30' }],
    endless: async () => {},
    bad: [],
  },
  addPod: {
    good: () => ({ name: 'new', desc: 'text' }),
    answers: () => [{ name: 'new', desc: 'text' }],
    bad: [() => [{}, 1021, 'pod name is empty'], () => [{ name: 'pod' }, 1021, 'key exists']],
  },
  removePod: {
    good: () => ({ name: 'empty' }),
    answers: () => [{}],
    bad: [
      () => [{}, 1022, 'pod name is empty'],
      () => [{ name: 'x' }, 1022, 'podname: x: pod not found'],
      () => [{ name: 'pod' }, 1022, 'pod pod still has 1 nodes, delete them first: pod has nodes'],
    ],
  },
  getPod: {
    good: () => ({ name: 'pod' }),
    answers: () => [{ name: 'pod', desc: 'a pod' }],
    bad: [() => [{}, 1023, 'pod name is empty'], () => [{ name: 'x' }, 1023, absent('/pod/info/x')]],
  },
  listPods: {
    good: () => ({}),
    answers: () => [{ pods: [{ name: 'empty' }, { name: 'pod', desc: 'a pod' }] }],
    bad: [],
  },
  getPodResource: {
    good: () => ({ name: 'pod' }),
    answers: () => [{ name: 'n1', resourceCapacity: capacity(858993459) }],
    bad: [],
    told: [() => [{ name: 'x' }, []]],
  },
  getNodeResource: {
    good: () => ({ opts: { nodename: 'n1' } }),
    answers: () => [{ name: 'n1', resourceCapacity: capacity(858993459), resourceUsage: capacity(0) }],
    bad: [
      () => [{}, 1037, noName], // without `opts`, which crashed the original
      () => [{ opts: { nodename: 'x' } }, 1037, absent('/node/x')],
    ],
  },
  addNode: {
    good: () => ({ nodename: 'n2', endpoint: 'mock://n2', podname: 'pod', labels: { a: 'b' }, resources }),
    answers: () => [
      {
        name: 'n2',
        endpoint: 'mock://n2',
        podname: 'pod',
        available: true,
        test: true,
        labels: { a: 'b' },
        resourceUsage: 'null',
        resourceCapacity: capacity(2 ** 29),
      },
    ],
    bad: [
      () => [{}, 1031, noName],
      () => [{ nodename: 'n2' }, 1031, 'pod name is empty'],
      () => [{ nodename: 'n2', podname: 'pod' }, 1031, 'invalid node endpoint'],
      () => [
        { nodename: 'n2', podname: 'pod', endpoint: 'ftp://x' },
        1031,
        'endpoint invalid ftp://x: invalid node endpoint',
      ],
      () => [{ nodename: 'n1', podname: 'pod', endpoint: 'mock://n1' }, 1031, 'node already exists'],
      () => [{ nodename: 'n2', podname: 'x', endpoint: 'mock://n2' }, 1031, absent('/pod/info/x')],
      // cores without pieces crashed the original
      () => [
        {
          nodename: 'n2',
          podname: 'pod',
          endpoint: 'mock://n2',
          resources: { cpumem: base64('{"cpu":"0,1"}') },
        },
        1031,
        expect.stringContaining('cpu'),
      ],
    ],
  },
  removeNode: {
    prepare: ({ rpc }) => rpc.addNode({ nodename: 'n2', endpoint: 'mock://n2', podname: 'pod' }),
    good: () => ({ nodename: 'n2' }),
    answers: () => [{}],
    bad: [
      () => [{}, 1032, noName],
      () => [{ nodename: 'x' }, 1032, absent('/node/x')],
      () => [{ nodename: 'n1' }, 1032, 'node not empty, still has workloads associated'],
    ],
  },
  listPodNodes: {
    good: () => ({ podname: 'pod', all: true }),
    answers: () => [{ name: 'n1', available: true, info: expect.stringContaining('"Type":"simulated"') }],
    bad: [],
    told: [() => [{ podname: 'x' }, []], () => [{ podname: 'pod', labels: { a: 'b' } }, []]],
  },
  getNode: {
    good: () => ({ nodename: 'n1' }),
    answers: () => [{ name: 'n1', podname: 'pod', available: true, resourceUsage: capacity(0) }],
    bad: [() => [{}, 1034, noName], () => [{ nodename: 'x' }, 1034, absent('/node/x')]],
  },
  getNodeEngineInfo: {
    good: () => ({ nodename: 'n1' }),
    answers: () => [{ type: 'simulated' }],
    bad: [() => [{}, 1038, noName], () => [{ nodename: 'x' }, 1038, absent('/node/x')]],
  },
  setNode: {
    good: () => ({ nodename: 'n1', bypass: 'TRUE', labels: { a: 'b' }, resources }),
    answers: () => [{ name: 'n1', bypass: true, labels: { a: 'b' }, resourceCapacity: capacity(2 ** 29) }],
    bad: [
      () => [{}, 1035, noName],
      () => [{ nodename: 'x' }, 1035, absent('/node/x')],
      () => [{ nodename: 'n1', endpoint: 'ftp://x' }, 1035, 'endpoint invalid ftp://x: invalid node endpoint'],
      () => [
        { nodename: 'n1', delta: true, resources: { cpumem: base64('{"memory":"-2G"}') } },
        1035,
        expect.stringContaining('invalid'),
      ],
    ],
  },
  getNodeStatus: {
    prepare: ({ rpc }) => rpc.setNodeStatus({ nodename: 'n1', ttl: 60n }),
    good: () => ({ nodename: 'n1' }),
    answers: () => [{ nodename: 'n1', podname: 'pod', alive: true }],
    bad: [() => [{}, 1038, absent('/status:node/')], () => [{ nodename: 'x' }, 1038, absent('/status:node/x')]],
  },
  setNodeStatus: {
    good: () => ({ nodename: 'n1', ttl: '60' }),
    answers: () => [{}],
    bad: [
      () => [{ nodename: 'x', ttl: '1' }, 1036, absent('/node/x')],
      () => [{ ttl: '1' }, 1036, absent('/node/')],
      () => [{ nodename: 'n1' }, 1036, 'invalid TTL for node status, should be > 0'],
    ],
  },
  nodeStatusStream: {
    good: () => ({}),
    answers: () => [{ nodename: 'n1', podname: 'pod', alive: true }],
    endless: ({ rpc }) => rpc.setNodeStatus({ nodename: 'n1', ttl: 60n }),
    bad: [],
  },
  getWorkloadsStatus: {
    good: ({ id }) => ({ IDs: [id] }),
    answers: ({ id }) => [{ status: [{ id }] }],
    bad: [({ id }) => [{ IDs: [id, 'x'] }, 1055, absent('/workloads/x')]],
  },
  setWorkloadsStatus: {
    good: ({ id }) => ({ status: [{ id, running: true, networks: { host: '10.0.0.1' } }] }),
    answers: ({ id }) => [{ status: [{ id, running: true, networks: { host: '10.0.0.1' } }] }],
    bad: [() => [{ status: [{ id: 'x', running: true }] }, 1056, absent('/workloads/x')]],
    told: [() => [{}, [{}]]], // an empty list crashed the original
  },
  workloadStatusStream: {
    good: () => ({ appname: 'app', labels: { tier: 'a' } }),
    answers: ({ id }) => [{ id, workload: { id }, status: { id, running: true } }],
    endless: ({ rpc, id }) => rpc.setWorkloadsStatus({ status: [{ id, running: true }] }),
    bad: [],
  },
  listNetworks: {
    good: () => ({ podname: 'pod', driver: 'bridge' }),
    answers: () => [
      {
        networks: [
          { name: 'bridge', subnets: ['172.17.0.0/16'] },
          { name: 'extra', subnets: ['172.18.0.0/16'] },
        ],
      },
    ],
    bad: [
      () => [{ podname: 'empty' }, 1011, 'pod: empty: pod has no nodes'],
      () => [{ podname: 'x', driver: 'bridge' }, 1011, 'pod: x: pod has no nodes'],
    ],
  },
  connectNetwork: {
    good: ({ id }) => ({ network: 'extra', target: id, ipv4: '172.18.0.9' }),
    answers: () => [{ name: 'extra', subnets: ['172.18.0.9'] }],
    bad: [
      () => [{ network: 'extra' }, 1012, 'workload ID is empty'],
      () => [{ network: 'extra', target: 'x' }, 1012, absent('/workloads/x')],
      ({ id }) => [{ network: 'extra', target: id, ipv4: '1.2' }, 1012, 'ip: 1.2: invalid IP address'],
      ({ id }) => [{ network: 'extra', target: id, ipv6: '1.2.3.4' }, 1012, 'ip: 1.2.3.4: invalid IPv6 address'],
      ({ id }) => [{ network: 'x', target: id }, 1012, 'no network x'],
    ],
  },
  disconnectNetwork: {
    prepare: ({ rpc, id }) => rpc.connectNetwork({ network: 'extra', target: id }),
    good: ({ id }) => ({ network: 'extra', target: id }),
    answers: () => [{}],
    bad: [
      () => [{ network: 'extra' }, 1013, 'workload ID is empty'],
      () => [{ network: 'extra', target: 'x' }, 1013, absent('/workloads/x')],
      ({ id }) => [{ network: 'x', target: id }, 1013, expect.stringContaining('is not on network x')],
    ],
  },
};
