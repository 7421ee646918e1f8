import { expect, test } from 'vitest';

import { removalOf } from './plugin-chains.ts';

const filter = ['CNI-FORWARD', 'CNI-ADMIN'];
const nat = ['CNI-HOSTPORT-DNAT', 'CNI-HOSTPORT-SETMARK', 'CNI-HOSTPORT-MASQ'];

/** As Debian's plugins 1.1.1 leave them when the last container has gone, beside a rule of somebody else. */
const idleFilter = [
  '-P FORWARD DROP',
  '-N CNI-ADMIN',
  '-N CNI-FORWARD',
  '-A FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
  '-A FORWARD -j DOCKER-USER',
  '-A CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN',
];
const idleNat = [
  '-N CNI-HOSTPORT-DNAT',
  '-N CNI-HOSTPORT-MASQ',
  '-N CNI-HOSTPORT-SETMARK',
  '-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  '-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  '-A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
  '-A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
  '-A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
];

test('chains that nobody uses are taken out, and nothing else', () => {
  expect(removalOf(idleFilter, filter)).toEqual([
    '-D FORWARD -m comment --comment "CNI firewall plugin rules" -j CNI-FORWARD',
    '-D CNI-FORWARD -m comment --comment "CNI firewall plugin admin overrides" -j CNI-ADMIN',
    '-X CNI-FORWARD',
    '-X CNI-ADMIN',
  ]);
  expect(removalOf(idleNat, nat)).toHaveLength(8);
  expect(removalOf(['-P FORWARD DROP', '-A FORWARD -j DOCKER-USER'], filter)).toEqual([]);
});

test.each([
  ['another runtime’s container', idleFilter, filter, '-A CNI-FORWARD -s 10.1.0.2/32 -j ACCEPT'],
  ['an administrator', idleFilter, filter, '-A CNI-ADMIN -s 10.1.0.0/16 -j DROP'],
  ['a published port', idleNat, nat, '-A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 80 -j CNI-DN-0123456789abcdef'],
  ['a chain of somebody’s own', idleNat, nat, '-A CNI-DN-0123456789abcdef -s 10.1.0.2/32 -j CNI-HOSTPORT-SETMARK'],
])('chains that are used stay: by %s', (_who, rules, chains, rule) => {
  expect(removalOf([...rules, rule], chains)).toEqual([]);
});
