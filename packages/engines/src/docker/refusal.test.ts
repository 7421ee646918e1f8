import { expect, test } from 'vitest';

import { refusalOf } from './refusal.ts';

/** As daemons say it with status 500, by graph driver. */
test.each([
  ["--storage-opt is supported only for overlay over xfs with 'pquota' mount option", 'overlay2'],
  ['Filesystem does not support, or has not enabled quotas', 'vfs'],
  ['--storage-opt is not supported for aufs', 'aufs'],
])('%s (%s) is unsupported', (message) => {
  expect(refusalOf(500, message)).toMatchObject({ code: 'unsupported', message });
});
