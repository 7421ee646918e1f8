import type { NetworkStatus } from '@eru/network';
import { describe, expect, it } from 'vitest';

import { networkId } from './known-networks.ts';
import { splitFilters } from './list-filters.ts';
import { matchesFilters, matchesPrune } from './show-network.ts';

const networks = ['web', 'db'].map((name): NetworkStatus => {
  return { definition: { name, driver: 'bridge', pools: [name] }, cidrs: ['10.8.0.0/24'] } as unknown as NetworkStatus;
});

const entry = (name: string, network: string, ports: object[] = []): { [name: string]: never } =>
  ({
    Names: [`/${name}`],
    Ports: ports,
    NetworkSettings: { Networks: { [network]: { NetworkID: networkId(network) } } },
  }) as never;

const listed = [
  entry('shop', 'web', [{ IP: '0.0.0.0', PrivatePort: 80, PublicPort: 8080, Type: 'tcp' }]),
  entry('names', 'web', [{ PrivatePort: 53, Type: 'udp' }]),
  entry('rows', 'db'),
  entry('foreign', 'bridge'),
];

function split(filters: object, rest = ''): { target: string; kept: unknown[] } {
  const query = new URLSearchParams({ filters: JSON.stringify(filters) }).toString();
  const { target, kept } = splitFilters(`/containers/json?${query}${rest}`, networks);
  const names = kept(listed).map(({ Names }) => (Names as unknown as string[])[0]?.slice(1));
  return { target: decodeURIComponent(target), kept: names };
}

describe('docker ps --filter', () => {
  it.each([
    [{ publish: ['8080'] }, ['shop']],
    [{ publish: { '8000-8090/tcp': true } }, ['shop']],
    [{ publish: ['80'] }, []],
    [{ publish: ['8080/udp'] }, []],
    [{ expose: ['80'] }, ['shop']],
    [{ expose: ['53/udp'] }, ['names']],
    [{ publish: ['8080'], expose: ['53/udp'] }, ['shop', 'names']],
    [{ network: ['web'] }, ['shop', 'names']],
    [{ network: [networkId('db').slice(0, 12)] }, ['rows']],
    [{ network: ['web', 'bridge'] }, ['shop', 'names', 'foreign']],
    [{ network: ['web'], publish: ['8080'] }, ['shop']],
  ])('%j: dockerd is not asked for it', (filters, names) => {
    expect(split(filters)).toEqual({ target: '/containers/json?filters={}', kept: names });
  });

  it.each([[{ network: ['bridge'] }], [{ publish: ['http'] }], [{ publish: ['80:80'] }], [{ status: ['running'] }]])(
    '%j is left to dockerd',
    (filters) => {
      expect(split(filters).target).toBe(`/containers/json?filters=${JSON.stringify(filters)}`);
    },
  );

  it('a limit counts what is left, of stopped ones too', () => {
    expect(split({ network: ['web'], status: ['exited'] }, '&limit=1')).toEqual({
      target: '/containers/json?filters={"status":["exited"]}&all=1',
      kept: ['shop'],
    });
  });
});

it.each([
  [{ name: ['^web$'] }, true],
  [{ name: ['eb'] }, true],
  [{ name: ['^we'] }, true],
  [{ name: ['^we$'] }, false],
  [{ name: ['db', 'web'] }, true],
  [{ driver: ['bridge'] }, false],
  [{ type: ['custom'] }, true],
  [{ type: ['builtin'] }, false],
  [{ scope: ['swarm'] }, false],
  [{ dangling: ['true'] }, true],
  [{ dangling: ['false'] }, false],
  [{ label: ['a=b'] }, true],
  [{ label: ['a', 'c'] }, false],
  [{ id: [networkId('web').slice(0, 5)] }, true],
])('docker network ls --filter %j', (filters, shown) => {
  const network = {
    Name: 'web',
    Id: networkId('web'),
    Driver: 'eru',
    Labels: { a: 'b' },
    Containers: {},
  };
  expect(matchesFilters(network, new Map(Object.entries(filters)), false)).toBe(shown);
});

it.each([
  [{}, true],
  [{ label: ['a=b'] }, true],
  [{ label: ['a', 'c'] }, false],
  [{ 'label!': ['a'] }, false],
  [{ 'label!': ['c'] }, true],
  [{ until: ['24h'] }, false],
  [{ until: ['1h30m'] }, true],
  [{ until: ['90m'] }, true],
  [{ until: ['2026-11-26T10:00:00Z'] }, true],
  [{ until: ['2026-11-26T08:00:00Z'] }, false],
  [{ until: ['1795683600'] }, true],
  [{ until: ['1795680000'] }, false],
  [{ until: ['yesterday'] }, false],
])('docker network prune --filter %j', (filters, meant) => {
  const network = { Name: 'web', Created: '2026-11-26T09:00:00.000Z', Labels: { a: 'b' } };
  const now = Date.parse('2026-11-26T10:30:00Z');
  expect(matchesPrune(network, new Map(Object.entries(filters)), now)).toBe(meant);
});
