import type { Client, pb } from '@eru/contract';
import type { Clock } from '@eru/kit';
import { EruError, systemClock } from '@eru/kit';

/** The original's server says nothing on subscription; the first push may take its whole interval. */
const firstPushMs = 60_000;
const resubscribeMs = 10_000;

/**
 * The live cores as `ip:port`, at each push of WatchServiceStatus. Subscribes again when the stream breaks, ends, or is
 * silent for longer than it promised; returns when `signal` aborts.
 */
export async function* watchCores(
  core: Pick<Client<typeof pb.CoreRPC>, 'watchServiceStatus'>,
  { signal, clock = systemClock }: { signal: AbortSignal; clock?: Clock },
): AsyncGenerator<string[], void> {
  while (!signal.aborted) {
    const attempt = new AbortController();
    const silent = (): void => attempt.abort(new EruError('timeout', 'the core went silent'));
    let watchdog = clock.timer(firstPushMs, silent);
    try {
      const pushes = core.watchServiceStatus({}, { signal: AbortSignal.any([signal, attempt.signal]) });
      for await (const { addresses, intervalInSecond } of pushes) {
        watchdog.cancel();
        const usable = addresses.filter(isAddress);
        if (usable.length > 0) yield usable;
        watchdog = clock.timer(intervalInSecond > 0n ? Number(intervalInSecond) * 1000 : firstPushMs, silent);
      }
    } catch (error) {
      // A core that is away is no news: the list stays as it was and the next round asks again.
      if (!(error instanceof Error)) throw error;
    } finally {
      watchdog.cancel();
    }
    await clock.sleep(resubscribeMs, signal).catch(() => {}); // aborted: the loop's condition ends it
  }
}

/** `ip:port` with exactly one colon; anything else is not for us (core-rpc.md, ServiceStatus). */
function isAddress(text: string): boolean {
  const port = /^[^:\s/]+:(\d{1,5})$/.exec(text)?.[1];
  return port !== undefined && Number(port) <= 65_535;
}
