import { eru } from '@eru/contract';
import { expect, test } from 'vitest';

import { ofEru } from './access/roles.ts';

/** What changes something and carries no key, and why asking twice is safe or a key would be of no use. */
const withoutKey: Readonly<Record<string, string>> = {
  exec: 'a command and its streams belong to the client that opened them',
  attach: 'the same',
  run: 'the same; its workloads are removed when the client leaves, so that a repeated one has nothing to be attached to',
  copyIn: 'the same files again are the same files',
  copyOut: 'changes nothing',
  checkNode: 'a repair makes things as they should be, however often it is asked for',
  askNetwork: 'the same',
  reportWorkloads: 'a report says what is; the last one stands',
  createToken: 'a name is given once: again is `exists`, and the secret is told only once',
  listTokens: 'changes nothing',
  removeToken: 'again is `not_found`',
  createNodeToken: 'again is another token, which takes the place of the first',
  joinNode: 'the same key joins again with the same token, and gets its answer again',
  renewCertificate: 'again is another certificate, which takes the place of the first',
  dumpStore: 'changes nothing',
};

test('whatever changes something takes an idempotency key, or is safe without', () => {
  const methods = eru.Eru.methods.map(({ localName, input }) => ({
    name: localName as keyof typeof ofEru,
    keyed: input.fields.some(({ localName: field }) => field === 'idempotencyKey'),
  }));
  const changing = methods.filter(({ name }) => ofEru[name] !== 'read');
  const missing = changing.filter(({ name, keyed }) => !keyed && !(name in withoutKey));
  expect(missing).toEqual([]);
  const stale = Object.keys(withoutKey).filter((name) => !changing.some((one) => one.name === name && !one.keyed));
  expect(stale).toEqual([]);
});
