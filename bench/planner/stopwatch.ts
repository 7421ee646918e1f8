/** Milliseconds since it was made. */
export function stopwatch(): () => number {
  const begun = performance.now();
  return () => performance.now() - begun;
}

/**
 * Runs all steps; in milliseconds, the longest time in which nothing else could have run. Of a step that took less processor
 * time than that, the rest is what other processes took of the machine.
 */
export function longestStep(steps: Iterator<unknown>): number {
  let longest = 0;
  for (let done = false; !done;) {
    const before = process.cpuUsage();
    const timing = stopwatch();
    done = steps.next().done === true;
    const taken = timing();
    const { user, system } = process.cpuUsage(before);
    longest = Math.max(longest, Math.min(taken, (user + system) / 1000));
  }
  return longest;
}
