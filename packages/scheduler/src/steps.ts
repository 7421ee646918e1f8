/**
 * A calculation that can be stopped for a while between its steps, each of which is short: whoever runs it decides when
 * others are to have their turn.
 */
export type Steps<T> = Generator<undefined, T, undefined>;

/** All steps in one go. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
