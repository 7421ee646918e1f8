import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { parseEtcdUrl } from './store-url.ts';

describe('--store etcd://', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'eru-store-url-'));
    for (const name of ['ca', 'cert', 'key']) await writeFile(path.join(folder, name), `the ${name}`);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each([
    ['etcd://h:2379', { endpoints: ['h:2379'], prefix: '/eru/' }],
    ['etcd://a:1,b:2,[::1]:3/mine/', { endpoints: ['a:1', 'b:2', '[::1]:3'], prefix: '/mine/' }],
    ['etcds://h:1', { endpoints: ['h:1'], prefix: '/eru/', tls: {} }],
    ['etcd://u:p:q%40@h:1', { endpoints: ['h:1'], prefix: '/eru/', credential: { username: 'u', password: 'p:q@' } }],
    ['etcd://u@h:1/x', { endpoints: ['h:1'], prefix: '/x/', credential: { username: 'u', password: 'from%env' } }],
  ])('%s', async (url, options) => {
    expect(await parseEtcdUrl(url, { ERU_ETCD_PASSWORD: 'from%env' })).toEqual(options);
  });

  it('reads the files of TLS', async () => {
    const url = `etcd://h:1?ca=${folder}/ca&cert=${folder}/cert&key=${folder}/key`;
    expect(await parseEtcdUrl(url, {})).toMatchObject({ tls: { ca: 'the ca', cert: 'the cert', key: 'the key' } });
  });

  it.each([
    ['redis://h', /embedded or etcd:\/\//],
    ['etcd://', /is not allowed/],
    ['etcd://u@h:1', /ERU_ETCD_PASSWORD/],
    ['etcd://u:50%@h:1', /%25/],
    ['etcd://h:1?cery=x', /did you mean cert\?/],
    ['etcd://h:1?ca=/nowhere', /ca=\/nowhere cannot be read/],
    ['etcd://u:secret@h:1?what=x', /^--store: "etcd:\/\/u:\*\*\*@h:1\?what=x" is not allowed; what is not known/],
  ])('refuses %s and says what to write', async (url, message) => {
    const refusal = parseEtcdUrl(url, {});
    await expect(refusal).rejects.toMatchObject({ code: 'invalid', message: expect.stringMatching(message) as string });
    await expect(refusal).rejects.toMatchObject({ message: expect.not.stringContaining('secret') as string });
  });
});
