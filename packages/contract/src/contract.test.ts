import type { DescMessage } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';

import { create, fromBinary, pb, toBinary, toJson } from './index.ts';

const file = pb.CoreRPC.file;
const numbers = (message: DescMessage) => Object.fromEntries(message.fields.map(({ name, number }) => [name, number]));

test('pb has the 45 methods, 81 messages and 4 enums of the original', () => {
  expect(file.proto.package).toBe('pb');
  expect(pb.CoreRPC.methods).toHaveLength(45);
  expect(file.messages).toHaveLength(81);
  expect(
    [...file.enums, ...file.messages.flatMap(({ nestedEnums }) => nestedEnums)].map(({ typeName }) => typeName),
  ).toEqual(['pb.TriOpt', 'pb.StdStreamType', 'pb.BuildImageOptions.BuildMethod', 'pb.DeployOptions.Strategy']);
  expect(file.messages.reduce((sum, { fields }) => sum + fields.length, 0)).toBe(311);
});

test('each method has the kind that Go clients call it with', () => {
  const names = (kind: string) =>
    pb.CoreRPC.methods.filter(({ methodKind }) => methodKind === kind).map(({ name }) => name);
  expect(names('bidi_streaming')).toEqual(['SendLargeFile', 'ExecuteWorkload', 'RunAndWait']);
  expect(names('client_streaming')).toHaveLength(0);
  expect(names('server_streaming')).toHaveLength(18);
  expect(names('unary')).toHaveLength(24);
});

test('numbers start at 1001, with the exceptions that the original has', () => {
  const odd = file.messages.flatMap((message) =>
    message.fields
      .filter(({ number }) => number < 1001 || number > 1028)
      .map(({ name, number }) => `${message.name}.${name} ${number}`),
  );
  expect(odd).toEqual([
    'ReplaceOptions.IDs 5100',
    'FileOptions.ids 1',
    'FileOptions.dst 2',
    'FileOptions.size 3',
    'FileOptions.mode 4',
    'FileOptions.owner 5',
    'FileOptions.chunk 6',
  ]);
  expect(numbers(pb.CoreInfoSchema)).toMatchObject({ revison: 1002, identifier: 1006 });
  expect(numbers(pb.DeployOptionsSchema)).toMatchObject({
    networks: 1011,
    user: 1013,
    resources: 1027,
    ignore_pull: 1028,
  });
  expect(numbers(pb.DeployOptionsSchema)).not.toHaveProperty('1012');
  expect(numbers(pb.ReplaceOptionsSchema)).toMatchObject({ deployOpt: 1001, networkinherit: 1002 });
  expect(numbers(pb.RemoveImageOptionsSchema)).toEqual({ podname: 1001, nodenames: 1002, images: 1003, prune: 1005 });
  expect(pb.DeployOptions_Strategy.DUMMY).toBe(99);
  expect(pb.StdStreamType.TYPEWORKLOADID).toBe(6);
});

test('negative enum values and numbers over 53 bits survive', () => {
  const message = create(pb.AttachWorkloadMessageSchema, { stdStreamType: pb.StdStreamType.ERUERROR });
  const bytes = toBinary(pb.AttachWorkloadMessageSchema, message);
  expect(Buffer.from(bytes).toString('hex')).toBe('d83effffffffffffffffff01'); // a ten byte varint at 1003
  expect(fromBinary(pb.AttachWorkloadMessageSchema, bytes).stdStreamType).toBe(-1);
  const capacity = create(pb.CapacityMessageSchema, { total: 2n ** 63n - 1n });
  expect(toJson(pb.CapacityMessageSchema, capacity)).toEqual({ total: '9223372036854775807' });
});
