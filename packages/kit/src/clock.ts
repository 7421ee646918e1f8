/** Time, injected wherever behaviour depends on it, so that tests run on a virtual clock. All values in milliseconds. */
export interface Clock {
  /** Wall clock, since the epoch. For records that people read. */
  now(): number;
  /** Never jumps. For leases, deadlines and intervals. */
  monotonic(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Calls `run` once after `ms` unless cancelled; never keeps the process alive by itself. */
  timer(ms: number, run: () => void): { cancel(): void };
}

/** Node fires a longer timer at once. */
const longestMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        timer.cancel();
        reject(signal?.reason);
      };
      const timer = startTimer(ms, true, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  timer: (ms, run) => startTimer(ms, false, run),
};

/** `keeps` the process alive, or not. */
function startTimer(ms: number, keeps: boolean, run: () => void): { cancel(): void } {
  let timer: NodeJS.Timeout;
  const arm = (left: number): void => {
    timer = setTimeout(() => (left > longestMs ? arm(left - longestMs) : run()), Math.min(left, longestMs));
    if (!keeps) timer.unref();
  };
  arm(ms);
  return { cancel: () => clearTimeout(timer) };
}

/** A signal that aborts with a TimeoutError after `ms` of this clock, or when `signal` does. Call `clear` when done. */
export function deadline(clock: Clock, ms: number, signal?: AbortSignal): { signal: AbortSignal; clear(): void } {
  const controller = new AbortController();
  const timer = clock.timer(ms, () => controller.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')));
  return {
    signal: signal === undefined ? controller.signal : AbortSignal.any([signal, controller.signal]),
    clear: () => timer.cancel(),
  };
}
