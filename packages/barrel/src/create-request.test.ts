import type { NetworkStatus } from '@eru/network';
import type { JsonObject } from '@eru/kit';
import { describe, expect, it } from 'vitest';

import {
  declaredBy,
  mayBeOurs,
  namedNetworks,
  withoutNetwork,
  type CreateRules,
  type Declared,
} from './create-request.ts';
import { networkId } from './known-networks.ts';

const network = (name: string, cidr: string): NetworkStatus => ({
  definition: { name, driver: 'bridge', pools: [name], cniVersion: '1.0.0', masquerade: true },
  cidrs: [cidr],
});
const networks = [network('web', '10.8.0.0/24'), network('db', '10.9.0.0/24')];
const rules: CreateRules = { runtime: 'eru' };

function declared(body: JsonObject, imagePorts: string[] = []): Declared | undefined {
  return declaredBy(body, namedNetworks(body, rules), networks, rules, imagePorts);
}
const on = (more: JsonObject = {}, host: JsonObject = {}): JsonObject => ({
  Image: 'x',
  HostConfig: { NetworkMode: 'web', ...host },
  ...more,
});

describe('the label fixed-ip', () => {
  it.each([
    [{}, undefined, 'ephemeral'],
    [{ 'fixed-ip': '' }, undefined, 'fixed'],
    [{ 'fixed-ip': '0' }, undefined, 'ephemeral'],
    [{}, '10.8.0.9', 'fixed'],
    [{ 'fixed-ip': '1' }, '10.8.0.9', 'fixed'],
    [{ 'fixed-ip': 'false' }, '10.8.0.9', 'ephemeral'],
    [{ 'eru.network/owner': 'shop' }, undefined, 'fixed'],
  ] as [JsonObject, string | undefined, string][])('labels %j and address %s: %s', (Labels, ip, policy) => {
    const endpoint = ip === undefined ? {} : { IPAMConfig: { IPv4Address: ip } };
    expect(declared(on({ Labels, NetworkingConfig: { EndpointsConfig: { web: endpoint } } }))?.policy).toBe(policy);
  });
});

describe('what a request to create asks of our networks', () => {
  it.each([
    [{}],
    [{ HostConfig: null }],
    [{ HostConfig: { NetworkMode: 'bridge' } }],
    [{ HostConfig: { NetworkMode: 'container:web' } }],
    [{ HostConfig: { NetworkMode: 'host' }, Labels: { 'fixed-ip': '1', 'eru.network/ip': 'garbage' } }],
  ] as [JsonObject][])('%j: nothing, and nobody is asked', (body) => {
    expect(mayBeOurs(namedNetworks(body, rules))).toBe(false);
  });

  it("nothing, when it names Docker's", () => {
    expect(declared({ HostConfig: { NetworkMode: 'other' } })).toBeUndefined();
  });

  it('addresses, MAC, ports, aliases', () => {
    const body = on(
      {
        Labels: { 'eru.network/ip': '10.8.0.9, fd00:0::9', 'eru.network/aliases': 'c', other: '' },
        MacAddress: '02:42:0A:08:00:09',
        NetworkingConfig: { EndpointsConfig: { web: { Aliases: ['a', 'not good'] }, db: { Aliases: ['a', 'b'] } } },
        ExposedPorts: { '81/tcp': {}, '80/tcp': {} },
      },
      {
        PublishAllPorts: true,
        PortBindings: {
          '80/tcp': [
            { HostIp: '', HostPort: '8080' },
            { HostIp: '127.0.0.1', HostPort: '' },
          ],
          '53/udp': [{ HostPort: '53' }],
          '9/tcp': null,
        },
      },
    );
    expect(declared(body, ['82/tcp', '81/tcp'])).toEqual({
      policy: 'fixed',
      aliases: ['a', 'b', 'c'],
      keepNetns: false,
      networks: [
        {
          network: 'web',
          ips: ['10.8.0.9', 'fd00::9'],
          mac: '02:42:0a:08:00:09',
          ports: [
            { containerPort: 80, protocol: 'tcp', hostPort: 8080 },
            { containerPort: 80, protocol: 'tcp', hostIp: '127.0.0.1' },
            { containerPort: 53, protocol: 'udp', hostPort: 53 },
            { containerPort: 81, protocol: 'tcp' },
            { containerPort: 82, protocol: 'tcp' },
          ],
        },
        { network: 'db' },
      ],
    });
  });

  it.each([networkId('web'), networkId('web').slice(0, 12)])('a network by its id %s', (id) => {
    expect(declared({ HostConfig: { NetworkMode: id } })?.networks).toEqual([{ network: 'web' }]);
  });

  it.each(['hostconfig', 'HOSTCONFIG', 'Ho\u017ftConfig'])('a field that dockerd reads as well: %s', (name) => {
    expect(declared({ [name]: { networkmode: 'web' } })?.networks).toEqual([{ network: 'web' }]);
  });

  it('a network by label, where one is set', () => {
    // As the docker command says it.
    const body = {
      Labels: { 'fixed-ip': '1' },
      HostConfig: { NetworkMode: 'default' },
      NetworkingConfig: { EndpointsConfig: { default: {} } },
    };
    expect(namedNetworks(body, { defaultNetwork: 'web' })).toEqual(['web']);
    expect(namedNetworks({ ...body, HostConfig: { NetworkMode: 'host' } }, { defaultNetwork: 'web' })).toEqual([
      'host',
    ]);
    expect(namedNetworks({ Labels: { 'fixed-ip': '0' } }, { defaultNetwork: 'web' })).toEqual([]);
  });

  it.each([['image ENV is no word of the user', on({ Env: ['ERU_IP=10.8.0.9', 'IPV4=10.8.0.9', 'fixed-ip=1'] })]])(
    '%s',
    (_name, body) => {
      expect(declared(body)).toEqual({
        policy: 'ephemeral',
        aliases: [],
        keepNetns: false,
        networks: [{ network: 'web' }],
      });
    },
  );

  it.each([
    [on({ Labels: { 'eru.network/ip': '10.8.0.999' } }), /^label eru\.network\/ip: "10\.8\.0\.999" is not allowed/],
    [on({ Labels: { 'eru.network/ip': '10.8.0.1/24' } }), /^label eru\.network\/ip/],
    [on({ Labels: { 'eru.network/ip': '$(reboot)' } }), /^label eru\.network\/ip/],
    [on({ Labels: { 'eru.network/mac': '01:00:5e:00:00:01' } }), /^label eru\.network\/mac.*one interface/],
    [on({ Labels: { 'eru.network/mac': 'x' } }), /^label eru\.network\/mac/],
    [on({ Labels: { 'eru.network/owner': '../../etc' } }), /^label eru\.network\/owner/],
    [on({ Labels: { 'eru.network/owner': 'a'.repeat(81) } }), /^label eru\.network\/owner/],
    [on({ Labels: { 'eru.network/ip': { a: 1 } } }), /^label eru\.network\/ip.*text/],
    [on({ MacAddress: 'ff:ff:ff:ff:ff:ff' }), /^MacAddress/],
    [on({ Labels: ['fixed-ip'] }), /Labels: an object/],
    [
      on({}, { Runtime: 'runc' }),
      /^HostConfig\.Runtime: "runc" is not allowed; a network of Eru needs the runtime eru/,
    ],
    [on({}, { PortBindings: { '80/tcp': [{ HostPort: '8000-8010' }] } }), /HostPort.*no ranges/],
    [on({}, { PortBindings: { '80/icmp': [{}] } }), /^PortBindings: "80\/icmp"/],
    [on({}, { PortBindings: { '80/tcp': [{ HostPort: '70000' }] } }), /HostPort/],
    [on({ NetworkingConfig: { EndpointsConfig: { other: {} } } }), /^network other is Docker's and web is Eru's/],
    [on({ NetworkingConfig: { EndpointsConfig: { web: { IPAMConfig: { IPv4Address: 'x' } } } } }), /IPv4Address: "x"/],
    [
      on({
        Labels: { 'eru.network/ip': '10.8.0.9' },
        NetworkingConfig: { EndpointsConfig: { web: { IPAMConfig: { IPv4Address: '10.8.0.8' } } } },
      }),
      /asks for 10\.8\.0\.8; write one of the two/,
    ],
    [on({ hostConfig: {} }), /^the request: HostConfig is given twice/],
  ] as [JsonObject, RegExp][])('%j is refused', (body, message) => {
    expect(() => declared(body)).toThrow(message);
  });
});

describe('what dockerd gets', () => {
  it('no network, our runtime, and everything else as it was', () => {
    const body = on(
      {
        NetworkingConfig: { EndpointsConfig: { web: {} }, Later: 1 },
        MacAddress: '02:00:00:00:00:01',
        New: { x: [1] },
      },
      { PortBindings: { '80/tcp': [{ HostPort: '80' }] }, Memory: 5 },
    );
    namedNetworks(body, rules);
    expect(withoutNetwork(body, rules, { l: 'm' })).toEqual({
      Image: 'x',
      New: { x: [1] },
      Labels: { l: 'm' },
      NetworkingConfig: { EndpointsConfig: {}, Later: 1 },
      HostConfig: {
        NetworkMode: 'none',
        Runtime: 'eru',
        PortBindings: { '80/tcp': [{ HostPort: '80' }] },
        Memory: 5,
      },
    });
  });
});
