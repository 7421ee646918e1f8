import { expect, test } from 'vitest';

import { fetchProgress } from './supply.ts';

test('the lines of a pull say how many layers there are, and how many have come', () => {
  const progress = fetchProgress('web:1');
  const lines = [
    { status: 'Pulling from team/web', id: '1' },
    { status: 'Already exists', id: 'a' },
    { status: 'Pulling fs layer', id: 'b' },
    { status: 'Downloading', id: 'b', progress: '[=>  ]' },
    { status: 'Pull complete', id: 'b' },
    { status: 'Digest: sha256:0' },
  ];
  expect(lines.map((line) => progress(line))).toEqual([
    'fetching web:1',
    'fetching web:1 (1 of 1 layers)',
    'fetching web:1 (1 of 2 layers)',
    'fetching web:1 (1 of 2 layers)',
    'fetching web:1 (2 of 2 layers)',
    'fetching web:1 (2 of 2 layers)',
  ]);
});
