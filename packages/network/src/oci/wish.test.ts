import { expect, it } from 'vitest';

import { isFixed, isWish, labelsOfEnvironment, parsePort, readWish, sharedOwner } from './wish.ts';

const one = { networks: ['web'] };

it('takes a fixed-ip label as the original does: there and not off', () => {
  for (const on of ['', '1', 'true', 'yes', 'off', 'nonsense', null, 1, true, {}])
    expect(isFixed(on), JSON.stringify(on)).toBe(true);
  for (const off of ['0', 'false', 'FALSE', 'False', 0, false, undefined])
    expect(isFixed(off), JSON.stringify(off)).toBe(false);
  expect([
    isWish({}),
    isWish({ 'fixed-ip': '0' }),
    isWish({ 'fixed-ip': '' }),
    isWish({ 'eru.network/ip': '' }),
  ]).toEqual([false, false, true, true]);
});

it('gives what compose makes anew to its service, and what it runs beside to nobody', () => {
  const labels = (number: string, more: object = {}): Record<string, unknown> => ({
    'com.docker.compose.project': 'shop',
    'com.docker.compose.service': 'front',
    'com.docker.compose.container-number': number,
    ...more,
  });
  const front = { owner: 'compose.shop_front_1', releasesOwner: true };
  expect(sharedOwner(labels('1', { 'com.docker.compose.oneoff': 'False' }), 'fixed')).toEqual(front);
  expect(readWish(labels('1', { 'eru.network/ip': '10.8.0.9' }) as Record<string, string>, one)).toMatchObject(front);
  const none = [
    sharedOwner(labels('1'), 'ephemeral'),
    sharedOwner(labels('1', { 'com.docker.compose.oneoff': 'True' }), 'fixed'),
    sharedOwner(labels('../1'), 'fixed'),
    sharedOwner(labels('1', { 'com.docker.compose.service': 7 }), 'fixed'),
    sharedOwner({}, 'fixed'),
  ];
  expect(none).toEqual(none.map(() => ({})));
});

it('reads all that a container may ask for', () => {
  expect(
    readWish(
      {
        'eru.network/name': 'web, back',
        'eru.network/ip': '10.8.0.9,fd08::9',
        'eru.network/mac': '02:00:00:00:00:09',
        'eru.network/owner': 'shop',
        'eru.network/ports': '8443:443, [::1]:53:53/udp',
        'eru.network/ingress-rate': '8000000',
        'eru.network/keep-netns': '1',
        'eru.network/aliases': 'shop,www',
      },
      { ...one, ports: [{ containerPort: 80 }] },
    ),
  ).toEqual({
    networks: [
      {
        network: 'web',
        ips: ['10.8.0.9', 'fd08::9'],
        mac: '02:00:00:00:00:09',
        ports: [
          { containerPort: 80 },
          { hostIp: '', hostPort: 8443, containerPort: 443, protocol: 'tcp' },
          { hostIp: '::1', hostPort: 53, containerPort: 53, protocol: 'udp' },
        ],
        bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000 },
      },
      { network: 'back' },
    ],
    owner: 'shop',
    policy: 'fixed',
    keepNetns: true,
    aliases: ['shop', 'www'],
  });
});

it('keeps over a stop what is asked for by name, unless that is switched off', () => {
  const policy = (labels: Record<string, string>): string => readWish(labels, one).policy;
  expect([
    policy({ 'fixed-ip': '' }),
    policy({ 'eru.network/ip': '10.8.0.9' }),
    policy({ 'eru.network/owner': 'shop' }),
    policy({ 'eru.network/name': 'web' }),
    policy({ 'eru.network/ip': '10.8.0.9', 'fixed-ip': 'false' }),
  ]).toEqual(['fixed', 'fixed', 'fixed', 'ephemeral', 'ephemeral']);
});

it('refuses garbage by the label’s name', () => {
  const refused = (labels: Record<string, string>, networks = ['web']): string => {
    try {
      return JSON.stringify(readWish(labels, { networks }));
    } catch (error) {
      return (error as Error).message;
    }
  };
  expect(refused({ 'eru.network/request': 'req-1', 'fixed-ip': '' })).toContain('remove it and create it again');
  expect(refused({ 'eru.network/adress': '10.8.0.9' })).toMatch(
    /label eru\.network\/adress is none of ours; write one of .*eru\.network\/ip/,
  );
  expect(refused({ 'fixed-ip': '' }, [])).toMatch(/there is none yet: eru net create/);
  expect(refused({ 'fixed-ip': '' }, ['b', 'a'])).toMatch(/eru\.network\/name: name the network; there are: a, b/);
  expect(refused({ 'eru.network/ports': '80' })).toMatch(
    /eru\.network\/ports: "80" is not allowed; write \[IP:\]HOSTPORT:PORT/,
  );
  for (const rate of ['fast', '-1', '0', '1e9', '9'.repeat(20)])
    expect(refused({ 'eru.network/egress-rate': rate })).toMatch(/eru\.network\/egress-rate: .* whole bits per second/);
});

it('takes the words of the original’s environment', () => {
  expect(labelsOfEnvironment({ IPPOOL: 'web', IPV4: '10.8.0.9', 'fixed-ip': '1', HOME: '/' })).toEqual({
    'eru.network/name': 'web',
    'eru.network/ip': '10.8.0.9',
    'fixed-ip': '1',
  });
  expect(labelsOfEnvironment({ HOME: '/' })).toEqual({});
  expect(parsePort('--publish', ':80')).toEqual({ hostIp: '', hostPort: 0, containerPort: 80, protocol: 'tcp' });
});
