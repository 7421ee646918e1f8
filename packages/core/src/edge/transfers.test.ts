import { EruError, isEruError, VirtualClock } from '@eru/kit';
import { expect, test } from 'vitest';

import { Branch, giveAll, uploaded } from './fan-out.ts';
import { takingTurns } from './core-rpc/taking-turns.ts';

const idleMs = 30_000;
const piece = new Uint8Array(64 * 1024);
/** More than any buffer holds. */
const pieces = 200;

/** Takes what comes, at its own pace; answers how many pieces came, and what ended them. */
async function take(branch: Branch, pause: () => Promise<void>): Promise<[number, unknown]> {
  let count = 0;
  try {
    for await (const _piece of branch.pieces) {
      count += 1;
      await pause();
    }
    return [count, undefined];
  } catch (error) {
    return [count, EruError.from(error).message];
  }
}

async function giveMany(clock: VirtualClock, branches: Branch[]): Promise<void> {
  for (let sent = 0; sent < pieces; sent++) await giveAll(piece, branches, { clock, idleMs });
  for (const { pieces: queue } of branches) queue.end();
}

test('a branch that is slow now and then gets everything, one that never takes anything does not stop the others', async () => {
  const clock = new VirtualClock();
  const [fast, slow, dead] = [new Branch(), new Branch(), new Branch()];
  const given = giveMany(clock, [fast, slow, dead]);
  const taken = [take(fast, async () => {}), take(slow, () => clock.sleep(50))];
  await clock.run(given);
  expect(await clock.run(Promise.all(taken))).toEqual([
    [pieces, undefined],
    [pieces, undefined],
  ]);
  expect(dead.live).toBe(false);
  expect(isEruError(dead.signal.reason, 'timeout')).toBe(true);
  expect(dead.pieces.size).toBeLessThan(pieces); // what waits for it is bounded
});

test('a branch that always holds up the others is left behind once it has done so for too long', async () => {
  const clock = new VirtualClock();
  const [fast, slow] = [new Branch(), new Branch()];
  const given = giveMany(clock, [fast, slow]);
  const taken = [take(fast, async () => {}), take(slow, () => clock.sleep(1000))];
  await clock.run(given);
  const [all, some] = await clock.run(Promise.all(taken));
  expect(all).toEqual([pieces, undefined]);
  expect(some?.[0]).toBeLessThan(pieces);
  expect(some?.[1]).toBe('fell behind: the others have waited 30 s for it');
  expect(clock.monotonic()).toBeLessThan(pieces * 1000);
});

test('one alone may be as slow as it likes while it takes something', async () => {
  const clock = new VirtualClock();
  const only = new Branch();
  const given = giveMany(clock, [only]);
  const taken = take(only, () => clock.sleep(10_000));
  await clock.run(given);
  expect(await clock.run(taken)).toEqual([pieces, undefined]);
});

test('a client is left when it sends nothing while it is waited for, not while others are', async () => {
  const clock = new VirtualClock();
  const messages = async function* (): AsyncGenerator<number> {
    for (const pauseMs of [0, 20_000, 20_000, 31_000]) {
      await clock.sleep(pauseMs);
      yield pauseMs;
    }
  };
  const taken: number[] = [];
  const take = async (): Promise<void> => {
    for await (const message of uploaded(messages(), { clock, idleMs })) {
      taken.push(message);
      await clock.sleep(60_000);
    }
  };
  const error = await clock.run(take().catch((failed: unknown) => failed));
  expect([EruError.from(error).message, taken]).toEqual(['the client has sent nothing for 30 s', [0, 20_000, 20_000]]);
});

test('sources give one after the other, and a pause lets the others pass', async () => {
  const clock = new VirtualClock();
  const source = async function* (name: string, items: number, pauseMs: number): AsyncGenerator<string> {
    for (let item = 0; item < items; item++) {
      if (item === 2 && pauseMs > 0) await clock.sleep(pauseMs);
      yield name;
    }
  };
  const all = async (pauseMs: number): Promise<string> => {
    const names: string[] = [];
    const sources = [source('a', 4, pauseMs), source('b', 600, 0), source('c', 3, 0)];
    for await (const name of takingTurns(sources, { clock, patienceMs: 1000, width: 8 })) names.push(name);
    return names.join('').replace(/b+/, 'B');
  };
  expect(await clock.run(all(500))).toBe('aaaaBccc');
  expect(await clock.run(all(5000))).toBe('aaBcccaa');
});

test('a reader that leaves lets the sources go', async () => {
  const clock = new VirtualClock();
  let left = 0;
  const endless = async function* (): AsyncGenerator<number> {
    try {
      for (let item = 0; ; item++) yield item;
    } finally {
      left += 1;
    }
  };
  for await (const _item of takingTurns([endless(), endless()], { clock, patienceMs: 1000, width: 8 })) break;
  await clock.advance(0);
  expect(left).toBe(2);
});
