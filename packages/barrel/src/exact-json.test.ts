import { describe, expect, it } from 'vitest';

import { canonicalFields, parseExact } from './exact-json.ts';

const again = (text: string): string => {
  const { value, write } = parseExact(Buffer.from(text), 'test');
  return write(value).toString().trim();
};

describe('JSON whose numbers stay as they are', () => {
  it.each([
    '{"a":9007199254740993,"b":-18446744073709551616}',
    '{"a":1.0,"b":1e400,"c":0.1,"d":-0,"e":1E5,"f":12345678901234567890.5}',
    '{"a":"9007199254740993","b":"say \\"1.0\\" \\\\","c":"\\\\\\"1e400"}',
    '[{"a":[1,[2.50,{"b":null}],true,false]},{}]',
    '{"1.0":1,"__proto__":{"x":1.0}}',
    '{"späß":"…\\u0000","n":[10000000000000000001,"x",10000000000000000001]}',
  ])('%s', (text) => {
    expect(again(text)).toBe(text);
  });

  it.each(['', '{', '{"a":01}', '{"a":1.}', '{"a":+1}', '{"a":1e}', '{"a":--1}', '[1]', '"x"', '17', 'null'])(
    '%s is no object of JSON',
    (text) => {
      expect(() => again(text)).toThrow(/test: /);
    },
  );

  it('a long text costs no stack', () => {
    const text = JSON.stringify({ a: 'x\\"'.repeat(1_000_000), b: 1 });
    expect(again(text)).toBe(text);
  });
});

describe('fields in any case', () => {
  it('get the documented one, as Go would read them', () => {
    const object = { hostconfig: 1, 'ho\u017ftname': 2, 'networ\u212aingConfig': 3, Other: 4 };
    canonicalFields(object, ['HostConfig', 'Hostname', 'NetworkingConfig'], 'x');
    expect(object).toEqual({ HostConfig: 1, Hostname: 2, NetworkingConfig: 3, Other: 4 });
  });

  it('in two ways are refused', () => {
    expect(() => canonicalFields({ HostConfig: {}, hostConfig: {} }, ['HostConfig'], 'x')).toThrow(
      'x: HostConfig is given twice, once as "hostConfig"; write it once',
    );
    expect(() => canonicalFields({ hostconfig: {}, hostConfig: {} }, ['HostConfig'], 'x')).toThrow('twice');
  });
});
