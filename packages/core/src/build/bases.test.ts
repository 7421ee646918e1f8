import { writeTar } from '@eru/engines';
import { expect, test } from 'vitest';

import { basesOf, dockerfileIn } from './bases.ts';

test('the images of a Dockerfile, each once, without its own stages', () => {
  const text = `# FROM comment:1
ARG V=1
FROM --platform=linux/amd64 make:1 AS make
  from make as again
FROM hub.example:5000/team/run@sha256:aa
FROM scratch
FROM base:\${V}
FROM make:1
RUN echo FROM x`;
  expect(basesOf(text)).toEqual(['make:1', 'hub.example:5000/team/run@sha256:aa']);
});

test('the Dockerfile of an archive, or nothing', () => {
  const file = { contents: Buffer.from('FROM a'), mode: 0o644, uid: 0, gid: 0 };
  expect(dockerfileIn(writeTar([['./Dockerfile', file]]))).toBe('FROM a');
  expect(dockerfileIn(writeTar([['other', file]]))).toBe('');
  expect(dockerfileIn(Buffer.from('no archive'))).toBe('');
});
