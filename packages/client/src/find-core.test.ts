import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

import { writeEndpoint } from './endpoint-file.ts';
import { findCore } from './find-core.ts';

let data: string;
beforeAll(async () => {
  data = await mkdtemp(path.join(tmpdir(), 'eru-find-'));
  await writeEndpoint(data, { address: '0.0.0.0:5001', username: 'eru', password: 'secret', ca: 'PEM' });
});
afterAll(() => rm(data, { recursive: true, force: true }));

const beside = { credential: { username: 'eru', password: 'secret' }, tls: { ca: 'PEM' } };

test.each([undefined, '0.0.0.0:5001', 'localhost:5001', '127.0.0.1:5001', ':5001'])(
  'the credential and the authority in the data folder are for its own core, also as %s',
  async (eru) => {
    expect(await findCore({ data, ...(eru !== undefined && { eru }) })).toMatchObject(beside);
  },
);

test.each(['10.0.0.7:5001', 'localhost:5002', 'core.example:5001'])('and for no other, such as %s', async (eru) => {
  expect(await findCore({ data, eru })).toEqual({ addresses: eru, found: true });
});
