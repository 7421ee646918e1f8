import { isIPv6 } from 'node:net';

import { assert, bigInt, property } from 'fast-check';
import { describe, expect, it } from 'vitest';

import { canonical, contains, formatAddress, formatCidr, parseAddress, parseCidr } from './address.ts';
import { blocks, checkPinned, compilePool, nextFree } from './pool.ts';

describe('an address', () => {
  it.each([
    ['10.0.0.5', '10.0.0.5'],
    ['FD00:0:0:0::0005', 'fd00::5'],
    ['::', '::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['::ffff:10.0.0.1', '::ffff:a00:1'],
    ['1:2:3:4:5:6:7:0', '1:2:3:4:5:6:7:0'],
  ])('%s has one text: %s', (text, shortest) => expect(canonical('x', text)).toBe(shortest));

  it('is the same after writing and reading, of either family', () => {
    assert(
      property(bigInt(0n, (1n << 128n) - 1n), (value) => {
        const text = formatAddress({ family: 6, value });
        expect(isIPv6(text)).toBe(true);
        expect(parseAddress('x', text)).toEqual({ family: 6, value });
        const four = { family: 4 as const, value: value & 0xffffffffn };
        expect(parseAddress('x', formatAddress(four))).toEqual(four);
      }),
    );
  });

  it.each(['', '10.0.0', '10.0.0.256', 'fe80::1%eth0', 'x'])('%j is none', (text) =>
    expect(() => parseAddress('ip', text)).toThrow(/ip: .* is not allowed/),
  );
});

describe('a network', () => {
  it('contains its addresses', () => {
    const cidr = parseCidr('x', '10.0.1.0/24');
    expect(formatCidr(cidr)).toBe('10.0.1.0/24');
    expect(
      ['10.0.0.255', '10.0.1.0', '10.0.1.255', '10.0.2.0', '::a00:101'].map((ip) =>
        contains(cidr, parseAddress('x', ip)),
      ),
    ).toEqual([false, true, true, false, false]);
  });

  it.each([
    ['10.0.0.5/24', /did you mean 10\.0\.0\.0\/24/],
    ['10.0.0.0/33', /write a network/],
    ['10.0.0.0', /write a network/],
    ['fd00::1/64', /did you mean fd00::\/64/],
  ])('%s is refused', (text, message) => expect(() => parseCidr('cidr', text)).toThrow(message));
});

describe('a pool', () => {
  const list = (definition: object, count = 20): string[] => {
    const pool = compilePool({ name: 'p', ...definition });
    const given: string[] = [];
    let last: bigint | undefined;
    const taken = new Set<bigint>();
    for (let step = 0; step < count; step++) {
      const value = nextFree(pool, pool.cidr, last, (candidate) => !taken.has(candidate));
      if (value === undefined) break;
      taken.add(value);
      last = value;
      given.push(formatAddress({ family: pool.cidr.family, value }));
    }
    return given;
  };

  it('never gives out its ends, its gateway and what is excluded', () => {
    expect(list({ cidr: '10.0.0.0/29' })).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6']);
    expect(list({ cidr: '10.0.0.0/29', gateway: '10.0.0.4', exclude: ['10.0.0.2', '10.0.0.6/31'] })).toEqual([
      '10.0.0.1',
      '10.0.0.3',
      '10.0.0.5',
    ]);
    expect(list({ cidr: '10.0.0.0/31' })).toEqual(['10.0.0.1']);
    expect(list({ cidr: 'fd00::/125' })).toEqual([2, 3, 4, 5, 6, 7].map((end) => `fd00::${end}`));
    expect(list({ cidr: '10.0.0.0/24', ranges: ['10.0.0.9-10.0.0.11', '10.0.0.1-10.0.0.2'] })).toEqual([
      '10.0.0.2',
      '10.0.0.9',
      '10.0.0.10',
      '10.0.0.11',
    ]);
  });

  it('gives the address after the last one, and begins again at its end', () => {
    const pool = compilePool({ name: 'p', cidr: '10.0.0.0/29' });
    const value = (ip: string): bigint => parseAddress('x', ip).value;
    expect(nextFree(pool, pool.cidr, value('10.0.0.4'), () => true)).toBe(value('10.0.0.5'));
    expect(nextFree(pool, pool.cidr, value('10.0.0.6'), () => true)).toBe(value('10.0.0.2'));
    expect(nextFree(pool, pool.cidr, value('10.0.0.4'), (candidate) => candidate === value('10.0.0.4'))).toBe(
      value('10.0.0.4'),
    );
  });

  it('has blocks only where there is something to give out', () => {
    const texts = (definition: object): string[] =>
      [...blocks(compilePool({ name: 'p', ...definition }))].map(formatCidr);
    expect(texts({ cidr: '10.0.0.0/25' })).toEqual(['10.0.0.0/26', '10.0.0.64/26']);
    expect(texts({ cidr: '10.0.0.0/24', blockSize: 25, ranges: ['10.0.0.200-10.0.0.201'] })).toEqual(['10.0.0.128/25']);
    expect(texts({ cidr: '10.0.0.0/28' })).toEqual(['10.0.0.0/28']);
  });

  it.each([
    [{ cidr: '10.0.0.0/24', gateway: '10.0.1.1' }, /gateway: 10\.0\.1\.1 is not in/],
    [{ cidr: '10.0.0.0/24', ranges: ['10.0.0.9-10.0.0.5'] }, /write FIRST-LAST/],
    [{ cidr: '10.0.0.0/24', blockSize: 20 }, /blockSize: 20 is not allowed; write 24 to 32/],
    [{ cidr: '10.0.0.0/30', exclude: ['10.0.0.2'] }, /no address is left/],
    [{ cidr: '10.0.0.0/24', quarantine: 3 }, /pool: Unrecognized key/],
    [{ cidr: 5 }, /pool\.cidr/],
  ])('%j is refused', (definition, message) =>
    expect(() => compilePool({ name: 'p', ...definition })).toThrow(message),
  );

  it('says why an address cannot be pinned', () => {
    const pool = compilePool({
      name: 'p',
      cidr: '10.0.0.0/24',
      exclude: ['10.0.0.9'],
      ranges: ['10.0.0.100-10.0.0.110'],
    });
    const pin = (ip: string) => () => checkPinned(pool, parseAddress('x', ip));
    expect(pin('10.0.0.5')).not.toThrow();
    expect(pin('10.0.0.1')).toThrow(/it is the gateway/);
    expect(pin('10.0.0.9')).toThrow(/it is excluded/);
    expect(pin('10.0.0.255')).toThrow(/an end of/);
  });
});
