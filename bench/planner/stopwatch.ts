/** Milliseconds since it was made. */
export function stopwatch(): () => number {
  const begun = performance.now();
  return () => performance.now() - begun;
}

/** Runs all steps; in milliseconds, the longest time in which nothing else could have run. */
export function longestStep(steps: Iterator<unknown>): number {
  let longest = 0;
  for (let done = false; !done;) {
    const timing = stopwatch();
    done = steps.next().done === true;
    longest = Math.max(longest, timing());
  }
  return longest;
}
