import { expect, test } from 'vitest';
import { identify } from './identities.ts';
import { machineOnWire, readMachine } from './machine.ts';
import { encode, field } from './wire.ts';

test('integers have no exponent and fit 64 bits; fractions are as they are', () => {
  expect(encode({ bytes: 1e21, most: Infinity, least: -Infinity, back: 2 ** 63, big: 2 ** 60, cpu: 0.29 })).toBe(
    '{"bytes":9223372036854775807,"most":9223372036854775807,"least":-9223372036854775808,"back":9223372036854775807,"big":1152921504606846976,"cpu":0.29}',
  );
  expect(encode([{ a: undefined, b: null, c: 'x"', d: true }, NaN])).toBe('[{"b":null,"c":"x\\"","d":true},null]');
});

test('the exact name of a field wins over one that differs in case', () => {
  expect(field({ CAPACITY: 1, Capacity: 2 }, 'Capacity')).toBe(2);
  expect(field({ CAPACITY: 1 }, 'Capacity')).toBe(1);
  expect(field({}, 'Capacity')).toBeUndefined();
});

test('known texts are errors of their kind; a Go program that panics says nothing', () => {
  expect(identify('key: /resource/gpu/n1: bad `Count` value, entity count invalid')?.code).toBe('not_found');
  expect(identify('node already exists')?.code).toBe('exists');
  expect(identify('panic: runtime error: invalid memory address or nil pointer dereference')).toBeUndefined();
});

test('a machine goes over the wire and back', () => {
  const machine = { cpus: 4, memory: 2 ** 40, storage: 5, resources: { gpu: { prod_count_map: { a100: 2 } } } };
  const info = machineOnWire('n1', machine);
  expect(readMachine({ ...info, Resources: { ...info.Resources, broken: '!!', odd: btoa('[1]') } })).toEqual(machine);
});
