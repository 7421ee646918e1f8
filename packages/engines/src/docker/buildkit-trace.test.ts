import { create, toBinary, type MessageInitShape } from '@eru/contract';
import type { JsonObject } from '@eru/kit';
import { expect, test } from 'vitest';

import { StatusResponseSchema } from '../gen/buildkit_pb.ts';
import { BuildkitTrace, withExitCode } from './buildkit-trace.ts';

function read(...responses: MessageInitShape<typeof StatusResponseSchema>[]): JsonObject[] {
  const trace = new BuildkitTrace();
  return responses.flatMap((response) => [
    ...trace.read(
      Buffer.from(toBinary(StatusResponseSchema, create(StatusResponseSchema, response))).toString('base64'),
    ),
  ]);
}

const started = { seconds: 1n };
const run = { digest: 'a', name: '[2/2] RUN make' };

test('a step is told when it begins and when it ends, once each', () => {
  expect(
    read(
      { vertexes: [run] },
      { vertexes: [{ ...run, started }] },
      { vertexes: [{ ...run, started }], logs: [{ vertex: 'a', msg: Buffer.from('one\ntwo\n') }] },
      { logs: [{ vertex: 'a', msg: Buffer.from('three') }] },
      { vertexes: [{ ...run, started, completed: started }] },
      {
        vertexes: [
          { ...run, started, completed: started },
          { digest: 'b', name: 'FROM x', cached: true },
        ],
      },
      { vertexes: [{ digest: 'c', name: 'bad', started, error: 'no' }] },
    ).map(({ stream }) => stream),
  ).toEqual([
    '#1 [2/2] RUN make\n',
    '#1 one\n#1 two\n',
    '#1 three\n',
    '#1 DONE\n',
    '#2 FROM x\n',
    '#2 CACHED\n',
    '#3 bad\n',
    '#3 ERROR: no\n',
  ]);
});

test('what is fetched has its progress', () => {
  expect(
    read({
      statuses: [
        { id: 'layer', current: 5n, total: 10n },
        { id: 'x', current: 5n },
      ],
    }),
  ).toEqual([
    { id: 'layer', status: '5 of 10 bytes' },
    { id: 'x', status: '5 bytes' },
  ]);
});

test('the exit code is read from the words', () => {
  const error = 'process "/bin/sh -c exit 7" did not complete successfully: exit code: 7';
  expect(withExitCode({ error })).toEqual({ error, errorDetail: { code: 7, message: error } });
  expect(withExitCode({ error: 'other' })).toEqual({ error: 'other' });
});
