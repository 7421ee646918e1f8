import { describe, expect, it } from 'vitest';

import { cniCodeOf, errorOfOutput } from './error.ts';
import { addressesOf, convertResult, parseResult } from './result.ts';

const full = {
  cniVersion: '1.1.0',
  interfaces: [{ name: 'br0' }, { name: 'eth0', mac: '02:00:00:00:00:01', mtu: 1400, sandbox: '/run/netns/a' }],
  ips: [
    { address: '10.0.0.5/24', gateway: '10.0.0.1', interface: 1 },
    { address: 'fd00::5/64', interface: 1 },
    { address: '10.0.0.1/24', interface: 0 },
  ],
  routes: [{ dst: '0.0.0.0/0', mtu: 1400 }],
  own: true,
};

describe('a result', () => {
  it('says the family of addresses before 1.0.0 and not after, and keeps the rest', () => {
    const old = convertResult(parseResult(JSON.stringify(full), 'x', '1.1.0'), '0.3.1');
    expect(old).toMatchObject({ cniVersion: '0.3.1', own: true, ips: [{ version: '4' }, { version: '6' }, {}] });
    expect(convertResult(old, '1.1.0')).toEqual(full);
  });

  it('is read in the form of 0.2.0 too', () => {
    const text = JSON.stringify({
      cniVersion: '0.2.0',
      ip4: { ip: '10.0.0.5/24', gateway: '10.0.0.1', routes: [{ dst: '0.0.0.0/0' }] },
      ip6: { ip: 'fd00::5/64' },
    });
    expect(parseResult(text, 'x', '0.3.0')).toEqual({
      cniVersion: '0.2.0',
      ips: [{ address: '10.0.0.5/24', gateway: '10.0.0.1' }, { address: 'fd00::5/64' }],
      routes: [{ dst: '0.0.0.0/0' }],
    });
  });

  it('has the addresses of the interface in the sandbox', () => {
    const result = parseResult(JSON.stringify(full), 'x', '1.1.0');
    expect(addressesOf(result, 'eth0').map(({ address }) => address)).toEqual(['10.0.0.5/24', 'fd00::5/64']);
    expect(addressesOf(result, 'br0')).toEqual([]);
  });

  it.each([
    ['', /it is empty/],
    ['hello', /no JSON/],
    ['[]', /no object/],
    ['{"cniVersion":"x"}', /cniVersion/],
    ['{"ips":[{"address":"10.0.0.5"}]}', /ips\[0\]\.address/],
    ['{"ips":[{"address":"10.0.0.5/33"}]}', /ips\[0\]\.address/],
    ['{"ips":[{"address":"10.0.0.5/24","gateway":"x"}]}', /gateway/],
    ['{"ips":[{"address":"10.0.0.5/24","interface":1}],"interfaces":[{"name":"a"}]}', /names none of its 1/],
    ['{"ips":{}}', /no list of objects/],
    ['{"interfaces":[{}]}', /no name/],
    ['{"routes":[{}]}', /no dst/],
  ])('%s is not believed', (text, message) => {
    expect(() => parseResult(text, 'liar', '1.0.0')).toThrow(message);
  });
});

describe('the error of a plugin', () => {
  it.each([
    [{ code: 11, msg: 'later' }, 'busy', 11],
    [{ code: 3, msg: 'who?', details: 'more' }, 'not_found', 3],
    [{ code: 51, msg: 'full' }, 'no_capacity', 51],
    [{ code: 999, msg: 'oh' }, 'failed', 999],
    [{ code: 123, msg: 'own' }, 'failed', 123],
  ])('%j is %s', (object, code, cniCode) => {
    const error = errorOfOutput('p', 'ADD', { exit: 1, stdout: JSON.stringify(object), stderr: 'noise' });
    expect(error).toMatchObject({ code });
    expect(error.message).toContain(object.msg);
    expect(cniCodeOf(error)).toBe(cniCode);
  });

  it.each([
    [{ stdout: '', stderr: 'from stderr' }, /from stderr/],
    [{ stdout: 'garbage', stderr: 'x' }, /ended with 2: "garbage"/],
    [{ stdout: '', stderr: '' }, /said nothing/],
  ])('quotes %j', (output, message) => {
    expect(errorOfOutput('p', 'DEL', { exit: 2, ...output }).message).toMatch(message);
  });
});
