import { seededRandom, VirtualClock } from '@eru/kit';
import { describe, expect, it } from 'vitest';

import { Turns } from './turns.ts';

describe('Turns', () => {
  it('lets those who want the same name work one after the other, in the order in which they came', async () => {
    const turns = new Turns();
    const clock = new VirtualClock();
    const log: string[] = [];
    const work = (who: string): Promise<void> =>
      turns.hold(['n1'], async () => {
        log.push(`${who} begins`);
        await clock.sleep(10);
        log.push(`${who} ends`);
      });
    await clock.run(Promise.all([work('a'), work('b'), work('c')]));
    expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  });

  it('keeps nobody waiting who shares no name', async () => {
    const turns = new Turns();
    const clock = new VirtualClock();
    await clock.run(Promise.all(['n1', 'n2', 'n3'].map((name) => turns.hold([name], () => clock.sleep(1000)))));
    expect(clock.monotonic()).toBe(1000);
  });

  it('takes a name that is given twice once, and goes on after work that throws', async () => {
    const turns = new Turns();
    await expect(turns.hold(['n1', 'n1'], () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await turns.hold(['n1'], () => Promise.resolve('free'))).toBe('free');
  });

  it('never has two in one name and never locks up, whatever names are asked for in whatever order', async () => {
    const turns = new Turns();
    const clock = new VirtualClock();
    const random = seededRandom(7);
    const inside = new Map<string, number>();
    let most = 0;
    const one = (): Promise<void> => {
      const names = Array.from({ length: 1 + random.int(4) }, () => `n${random.int(6)}`);
      return turns.hold(names, async () => {
        for (const name of new Set(names)) inside.set(name, (inside.get(name) ?? 0) + 1);
        most = Math.max(most, ...inside.values());
        await clock.sleep(random.int(20));
        for (const name of new Set(names)) inside.set(name, (inside.get(name) ?? 0) - 1);
      });
    };
    await clock.run(Promise.all(Array.from({ length: 200 }, one)));
    expect(most).toBe(1);
  });
});
