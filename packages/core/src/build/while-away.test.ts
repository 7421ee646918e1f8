import { EruError, VirtualClock, type JsonObject } from '@eru/kit';
import { describe, expect, test } from 'vitest';

import { whileAway } from './while-away.ts';

const signal = new AbortController().signal;

/** What is told of work that fails so many times with `error`, each time in the middle; and how many seconds it took. */
async function toldOf(failures: number, error: EruError): Promise<{ told: JsonObject[]; seconds: number }> {
  const clock = new VirtualClock();
  const told: JsonObject[] = [];
  let times = 0;
  async function* work(): AsyncGenerator<JsonObject> {
    yield { stream: `step of ${++times}` };
    if (times <= failures) throw error;
    yield { stream: 'done' };
  }
  const all = async (): Promise<void> => {
    for await (const object of whileAway(work, signal, clock)) told.push(object);
  };
  await clock.run(all());
  return { told, seconds: clock.monotonic() / 1000 };
}

const away = new EruError('unavailable', 'docker has no containerd');

describe('work on an engine that is away', () => {
  test('is begun again, and the reason is told', async () => {
    expect((await toldOf(2, away)).told).toEqual([
      { stream: 'step of 1' },
      { status: 'docker has no containerd; beginning again' },
      { stream: 'step of 2' },
      { status: 'docker has no containerd; beginning again' },
      { stream: 'step of 3' },
      { stream: 'done' },
    ]);
  });

  test('is given up after half a minute', async () => {
    const { told, seconds } = await toldOf(Number.POSITIVE_INFINITY, away);
    expect(told.at(-1)).toEqual({ error: away.message, errorDetail: { message: away.message } });
    expect(told.filter(({ stream }) => stream !== undefined)).toHaveLength(10);
    expect(seconds).toBeGreaterThan(15);
    expect(seconds).toBeLessThan(35);
  });

  test('is not begun again when it is refused', async () => {
    await expect(toldOf(1, new EruError('invalid', 'no such word'))).rejects.toMatchObject({ code: 'invalid' });
  });
});
