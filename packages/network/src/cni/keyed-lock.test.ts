import { expect, it } from 'vitest';

import { KeyedLock } from './keyed-lock.ts';

it('lets sharers in together, one alone by himself, in the order in which they came', async () => {
  const lock = new KeyedLock();
  const log: string[] = [];
  const gates = new Map<string, () => void>();
  const work = (name: string) => async (): Promise<void> => {
    log.push(`+${name}`);
    await new Promise<void>((open) => gates.set(name, open));
    log.push(`-${name}`);
  };
  const all = [
    lock.shared('k', work('a')),
    lock.shared('k', work('b')),
    lock.exclusive('k', work('C')),
    lock.shared('k', work('d')),
    lock.shared('k', work('e')),
    lock.exclusive('other', work('F')),
  ];
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  await turn();
  expect(log).toEqual(['+a', '+b', '+F']);
  gates.get('a')?.();
  await turn();
  expect(log).not.toContain('+C');
  gates.get('b')?.();
  await turn();
  expect(log.slice(3)).toEqual(['-a', '-b', '+C']);
  gates.get('C')?.();
  await turn();
  expect(log.slice(6)).toEqual(['-C', '+d', '+e']);
  for (const name of ['d', 'e', 'F']) gates.get(name)?.();
  await Promise.all(all);
});

it('goes on after a failure', async () => {
  const lock = new KeyedLock();
  await expect(lock.exclusive('k', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(await lock.exclusive('k', () => Promise.resolve(1))).toBe(1);
});
