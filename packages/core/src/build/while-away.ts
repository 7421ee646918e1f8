import { backoff, EruError, systemClock, type Clock, type JsonObject } from '@eru/kit';

/** Half a minute in all, or some more: longer than dockerd takes to start again, or to have another containerd. */
const attempts = 10;
const pauses = { baseMs: 500, maxMs: 5_000 };

/**
 * What an engine says of work that it may begin anew; begun again while the engine is away, which is told as a status. One that stays
 * away is told as the error. @throws EruError what else the work throws
 */
export async function* whileAway(
  work: () => AsyncIterable<JsonObject>,
  signal: AbortSignal,
  clock: Clock = systemClock,
): AsyncGenerator<JsonObject> {
  for (let attempt = 1; ; attempt++) {
    try {
      yield* work();
      return;
    } catch (error) {
      const { code, message } = EruError.from(error);
      if (code !== 'unavailable' || signal.aborted) throw error;
      if (attempt === attempts) {
        yield { error: message, errorDetail: { message } };
        return;
      }
      yield { status: `${message}; beginning again` };
    }
    await clock.sleep(backoff(attempt, pauses), signal);
  }
}
