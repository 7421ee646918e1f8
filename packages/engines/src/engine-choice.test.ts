import { expect, test } from 'vitest';

import { engineOf, lacksEngine } from './engine-choice.ts';

test.each([
  ['', '', 'process'],
  ['', 'web:1', 'docker'],
  ['docker', '', 'docker'],
])('engine %j and image %j: %s', (engine, image, wanted) => {
  expect(engineOf({ engine, image })).toBe(wanted);
});

test.each([
  ['process', 'docker', 'runs process, not docker'],
  ['docker', 'process', 'runs docker, not process'],
  ['docker', 'docker', undefined],
  ['process+docker', 'docker', undefined],
  ['simulated', 'docker', undefined],
  ['simulated+process', 'docker', undefined],
  ['', 'docker', undefined],
])('a node of type %j for %s: %s', (type, wanted, why) => {
  expect(lacksEngine(type, wanted)).toBe(why);
});
