import { expect, test } from 'vitest';

import { capabilitiesOf, seccompOf } from './confinement.ts';

const own = ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_SYS_PTRACE'];

function given(raw: unknown, privileged = false): string[] {
  return capabilitiesOf({ privileged, rawArgs: Buffer.from(JSON.stringify(raw)) }, own);
}

test.each([
  [{}, ['CAP_CHOWN', 'CAP_KILL']],
  [{ cap_add: ['net_admin'] }, ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_ADMIN']],
  [{ cap_drop: ['CAP_KILL'] }, ['CAP_CHOWN']],
  [{ cap_drop: ['ALL'], cap_add: ['KILL'] }, ['CAP_KILL']],
  [{ cap_add: ['ALL'], cap_drop: ['SYS_ADMIN'] }, own.filter((name) => name !== 'CAP_SYS_ADMIN')],
])('%j', (raw, expected) => {
  expect(given(raw)).toEqual(expected);
});

test('the privileged have what the daemon has, without what is dropped', () => {
  expect(given({ cap_drop: ['KILL'] }, true)).toEqual(own.filter((name) => name !== 'CAP_KILL'));
  expect(seccompOf(true, own)).toBeUndefined();
});

test.each([
  [{ cap_add: ['SYS_TIME'] }, 'unsupported', /no CAP_SYS_TIME to give/],
  [{ cap_add: ['NET_ADMINN'] }, 'invalid', /raw_args: cap_add: "NET_ADMINN"/],
  [{ cap_add: 'ALL' }, 'invalid', /raw_args: cap_add: .*write a list/],
  [{ runtime: 'x' }, 'invalid', /raw_args: "runtime"/],
  [[], 'invalid', /raw_args/],
])('%j is refused', (raw, code, words) => {
  expect(() => given(raw)).toThrow(expect.objectContaining({ code, message: expect.stringMatching(words) }));
});

test('a capability opens its calls and no others', () => {
  const refused = (capabilities: string[]): string => JSON.stringify(seccompOf(false, capabilities)?.['syscalls']);
  for (const name of ['"mount"', '"ptrace"', '"keyctl"', '"unshare"', '"clone3"']) expect(refused([])).toContain(name);
  expect(refused(['CAP_SYS_PTRACE'])).not.toContain('"ptrace"');
  expect(refused(['CAP_SYS_PTRACE'])).toContain('"mount"');
  for (const name of ['"mount"', '"unshare"', '"clone3"']) expect(refused(['CAP_SYS_ADMIN'])).not.toContain(name);
  expect(refused(own)).toContain('"keyctl"');
});
