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

/** As Podman says them with status 500, behind what it was about. */
test.each([
  ['can only kill running containers. c5fe is in state exited: container state improper', 'precondition'],
  ['container b11e does not exist in database: no such container', 'not_found'],
  ['container 50a7 is already connected to network "podman": network is already connected', 'exists'],
  ['requested IP address 10.88.0.77 is not available in range set 10.88.0.1-10.88.255.254', 'busy'],
  [
    "this container is using the 'none' log driver, cannot read logs: this container is not logging output",
    'unsupported',
  ],
  ['container create: running container create option: invalid log driver: invalid argument', 'invalid'],
])('%s is %s', (message, code) => {
  expect(refusalOf(500, message)).toMatchObject({ code, message });
});

test.each([
  [404, 'No such container: x', 'not_found'],
  [500, 'driver failed: port is already allocated', 'busy'],
  [500, 'something else', 'failed'],
  [404, 'network shop not found', 'not_found'],
  [500, 'transport is closing: unavailable', 'unavailable'],
  [
    500,
    'Cannot update container c: connection error: desc = "transport: Error while dialing dial unix /run/containerd/containerd.sock: connect: connection refused": unavailable',
    'unavailable',
  ],
])('%i %s is %s', (status, message, code) => {
  expect(refusalOf(status, message)).toMatchObject({ code, message: expect.stringContaining(message) });
});
