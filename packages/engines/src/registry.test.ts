import { expect, test } from 'vitest';

import { registriesFor, registryOf } from './registry.ts';

test.each([
  ['busybox', 'docker.io'],
  ['busybox:1.36', 'docker.io'],
  ['library/busybox', 'docker.io'],
  ['localhost/app', 'localhost'],
  ['localhost:5000/app:1', 'localhost:5000'],
  ['registry.example/team/app@sha256:aa', 'registry.example'],
])('%s is of %s', (reference, registry) => expect(registryOf(reference)).toBe(registry));

test('an engine is told the one credential that it needs', () => {
  const [a, b] = [
    { username: 'a', password: '1' },
    { username: 'b', password: '2' },
  ];
  const registries = { 'docker.io': a, 'hub.example:5000': b };
  expect(registriesFor('app:1', registries)).toEqual({ 'docker.io': a });
  expect(registriesFor('hub.example:5000/app:1', registries)).toEqual({ 'hub.example:5000': b });
  expect(registriesFor('other.example/app:1', registries)).toEqual({});
});
