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

/** Small things (a node that is looked at, an instance that is written) between two steps. */
const thingsPerStep = 1024;

/** The items one after the other, with a step after every thousand or so. */
export function* eachInSteps<T>(items: Iterable<T>, visit: (item: T) => void): Steps<void> {
  let visited = 0;
  for (const item of items) {
    visit(item);
    visited += 1;
    if (visited % thingsPerStep === 0) yield;
  }
}

/** Numbers from 0, as positions and slots are. */
export function* countInSteps(size: number, visit: (index: number) => void): Steps<void> {
  for (let index = 0; index < size; index += 1) {
    visit(index);
    if (index % thingsPerStep === thingsPerStep - 1) yield;
  }
}
