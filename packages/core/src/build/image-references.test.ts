import { expect, test } from 'vitest';

import { imageReferences } from './image-references.ts';

test('hub, namespace, name and tag', () => {
  expect(imageReferences({ hub: 'hub.example:5000', namespace: '/team/' }, 'app', ['1', '2'])).toEqual([
    'hub.example:5000/team/app:1',
    'hub.example:5000/team/app:2',
  ]);
  expect(imageReferences({ hub: 'hub.example', namespace: '' }, 'app', [])).toEqual(['hub.example/app:latest']);
  expect(imageReferences({ hub: '', namespace: '' }, 'a/b-c', ['x'])).toEqual(['a/b-c:x']);
});

test.each([
  ['', '1'],
  ['App', '1'],
  ['-a', '1'],
  ['a b', '1'],
  ['a', ''],
  ['a', '-x'],
  ['a', 'x y'],
])('name %j with tag %j is refused', (name, tag) =>
  expect(() => imageReferences({ hub: 'h.example', namespace: '' }, name, [tag])).toThrow(/^(name|tags): /),
);
