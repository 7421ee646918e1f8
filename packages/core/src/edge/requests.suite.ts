import type { DescMessage } from '@eru/contract';
import * as fc from 'fast-check';

/** What is worth saying where a field has this name; everything else is said now and then, too. */
export type Words = Readonly<Record<string, readonly string[]>>;

/** Good messages by type: half of those made are one of these with a few fields changed, so that they get somewhere. */
const good: Readonly<Record<string, Record<string, unknown>>> = {
  'pb.DeployOptions': {
    name: 'app',
    podname: 'pod',
    image: 'image:1',
    count: 1,
    env: ['A=/a', 'BARE', '=', 'B=/c=d'],
    entrypoint: { name: 'web', commands: ['echo', 'x'] },
  },
};

type Field = DescMessage['fields'][number];

const plain = `x a_b .. / /etc/app/config /../etc a/b \u202e stop start restart suspend resume echo all 10 -1 42m 1e999 image:1
  sha256: 172.18.0.9 ::1 bridge extra host none mock://n1 mock://n9?cpus=0 unix:///x tcp://a:b __proto__ constructor toString
  A=1 BARE B=/c=d = $A \${B} {} 'unclosed`;
const texts = ['', '\0', 'y'.repeat(5000), ...plain.split(/\s+/)];
/** Bodies of resource requests, one a line. */
const bodies = `{}
[]
null
1
"x"
{
\xff\xfe
{"__proto__":{"a":1}}
{"cpu":-1}
{"cpu":1e308}
{"cpu":"0,1"}
{"cpu":"0:1:2"}
{"cpu-request":0.1,"cpu-bind":true}
{"memory":"9999999P"}
{"memory":-1}
{"memory-request":[]}
{"numa-cpu":["0,99"],"numa-memory":["1"]}
{"volumes-request":["a:b:c:d:e"]}
{"volumes-request":["$A/\${B}:/data:rw:1M","\${:/x","AUTO:/y:rwm:10"]}
{"volumes":[":",null]}
{"storage":"x"}
{"prod_count_map":{"p":-1}}`;
const requests = ['', '['.repeat(2000), ...bodies.split('\n')].map((text) => Buffer.from(text, 'latin1'));
const integers = [0, 1, 2, -1, 7, 100, 2 ** 31 - 1, -(2 ** 31)];
const longs = [0n, 1n, -1n, 60n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n)];
const maximalDepth = 4;

/** The fields of a message, some of them, with values that are likely to hurt. */
export function requestOf(message: DescMessage, words: Words, depth = 0): fc.Arbitrary<Record<string, unknown>> {
  const fields = message.fields.filter(({ oneof, message: inner }) => oneof === undefined && fits(inner, depth));
  const values: Record<string, fc.Arbitrary<unknown>> = {};
  for (const field of fields) values[field.localName] = valueOf(field, words, depth);
  for (const oneof of message.oneofs) {
    const cases = oneof.fields.filter(({ message: inner }) => fits(inner, depth));
    values[oneof.localName] = fc.oneof(
      ...cases.map((field) => fc.record({ case: fc.constant(field.localName), value: valueOf(field, words, depth) })),
    );
  }
  const any = fc.record(values, { requiredKeys: [] });
  const base = good[message.typeName];
  if (base === undefined) return any;
  const changed = fc
    .tuple(any, fc.shuffledSubarray(Object.keys(values), { maxLength: 3 }))
    .map(([made, keys]) => ({ ...base, ...Object.fromEntries(keys.map((key) => [key, made[key]])) }));
  return fc.oneof(any, changed);
}

function fits(inner: DescMessage | undefined, depth: number): boolean {
  return inner === undefined || depth < maximalDepth;
}

function valueOf(field: Field, words: Words, depth: number): fc.Arbitrary<unknown> {
  switch (field.fieldKind) {
    case 'scalar':
      return scalarOf(field.scalar, field.localName, words);
    case 'enum':
      return fc.constantFrom(...field.enum.values.map(({ number }) => number), 77);
    case 'message':
      return requestOf(field.message, words, depth + 1);
    case 'list':
      return fc.array(oneOf(field, words, depth), { maxLength: 3 });
    case 'map':
      return fc.dictionary(scalarOf(9, field.localName, words) as fc.Arbitrary<string>, oneOf(field, words, depth), {
        maxKeys: 2,
        noNullPrototype: true,
      });
  }
}

/** An item of a list, or a value of a map. */
function oneOf(field: Field & { fieldKind: 'list' | 'map' }, words: Words, depth: number): fc.Arbitrary<unknown> {
  if (field.message !== undefined) return requestOf(field.message, words, depth + 1);
  return field.scalar === undefined ? fc.constant(0) : scalarOf(field.scalar, field.localName, words);
}

/** By the number of the type in descriptors: 3 to 6 and 16 to 18 are integers of 64 bits, 9 texts, 12 bytes. */
function scalarOf(type: number, name: string, words: Words): fc.Arbitrary<unknown> {
  switch (type) {
    case 1:
    case 2:
      return fc.double();
    case 3:
    case 16:
    case 18:
      return fc.constantFrom(...longs);
    case 4:
    case 6:
      return fc.constantFrom(...longs.filter((value) => value >= 0n));
    case 8:
      return fc.boolean();
    case 9: {
      const known = words[name];
      const any = fc.oneof(fc.constantFrom(...texts), fc.string({ maxLength: 20, unit: 'binary' }).map(wellFormed));
      return known === undefined ? any : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, any);
    }
    case 12:
      return fc.oneof(fc.constantFrom<Uint8Array>(...requests), fc.uint8Array({ maxLength: 100 }));
    case 13:
    case 7:
      return fc.constantFrom(...integers.filter((value) => value >= 0));
    default:
      return fc.constantFrom(...integers);
  }
}

/** Lone surrogates cannot be written as UTF-8. */
function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, '');
}
