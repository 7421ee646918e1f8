import { describe, expect, it } from 'vitest';

import { matchRoute, withQuery } from './routes.ts';

describe('which requests are intercepted', () => {
  it.each([
    ['POST', '/containers/create', { kind: 'create' }],
    ['POST', '/v1.41/containers/create?name=a', { kind: 'create' }],
    ['POST', '/v1.41/containers/%63reate', { kind: 'create' }],
    ['POST', '/%76%31.41/containers/create', { kind: 'create' }],
    ['POST', '/v..1/containers/create', { kind: 'create' }],
    ['POST', 'http://docker/v1.41/containers/create', { kind: 'create' }],
    ['POST', 'HTTP://x:1/containers/create?x', { kind: 'create' }],
    ['POST', '/containers/prune', { kind: 'prune' }],
    ['GET', '/containers/json?all=1', { kind: 'list' }],
    ['GET', '/containers/a/json', { kind: 'inspect', name: 'a' }],
    ['GET', '/containers/json/json', { kind: 'inspect', name: 'json' }],
    ['GET', '/v1.24/containers/a%2Fb/json', { kind: 'inspect', name: 'a/b' }],
    ['DELETE', '/v1.41/containers/a?v=1', { kind: 'remove', name: 'a' }],
    ['GET', '/networks', { kind: 'networks' }],
    ['GET', '/networks/', { kind: 'networks' }],
    ['GET', '/networks/web', { kind: 'network', name: 'web' }],
    ['POST', '/networks/create', { kind: 'create-network' }],
    ['POST', '/v1.41/networks/prune?filters=x', { kind: 'prune-networks' }],
    ['DELETE', '/networks/web', { kind: 'remove-network', name: 'web' }],
    ['POST', '/networks/web/connect', { kind: 'connect', name: 'web' }],
    ['POST', '/v1.41/networks/web/disconnect', { kind: 'disconnect', name: 'web' }],
  ])('%s %s', (method, target, route) => {
    expect(matchRoute(method, target)).toEqual(route);
  });

  // What dockerd's router answers with a redirect, 404 or 405 reaches no handler of its; it must not reach ours either.
  it.each([
    ['POST', '//containers/create'],
    ['POST', '/v1.41//containers/create'],
    ['POST', '/x/../containers/create'],
    ['POST', '/./containers/create'],
    ['POST', '/%2e/containers/create'],
    ['POST', '/%2Fcontainers/create'],
    ['POST', '/containers/create/'],
    ['POST', '/containers/create#x'],
    ['POST', '/containers/create%3Fx'],
    ['POST', '/containers/create;x'],
    ['POST', '/CONTAINERS/create'],
    ['POST', '/v/containers/create'],
    ['POST', '/vx1/containers/create'],
    ['POST', '/v1.41/v1.41/containers/create'],
    ['post', '/containers/create'],
    ['PUT', '/containers/create'],
    ['POST', '/containers/create%zz'],
    ['POST', 'containers/create'],
    ['GET', '*'],
    ['GET', '/foo/containers/json'],
    ['GET', '/containers/a/json/x'],
    ['POST', '/containers/a/start'],
    ['POST', '/containers/a/rename?name=b'],
  ])('%s %s is passed on as it is', (method, target) => {
    expect(matchRoute(method, target)).toBeUndefined();
  });

  it('a query is replaced, the path stays as it was written', () => {
    expect(withQuery('/v1.41/containers/json?all=1', new URLSearchParams({ limit: '2' }))).toBe(
      '/v1.41/containers/json?limit=2',
    );
  });
});
