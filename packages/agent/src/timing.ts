/**
 * The start-up series of a run that is not healthy yet: checks at 0, 1, 3, 7, 15, 31, … seconds after its first check
 * (reference/agent.md section 9, which stops at 15), for as long as the gaps are not wider than the sweep's. Answers the
 * milliseconds from `elapsedMs` to the next check, undefined when the sweep is enough. Checks that a slow probe has
 * overrun are left out.
 */
export function untilNextStartCheck(elapsedMs: number, sweepMs: number): number | undefined {
  let gapMs = 1000;
  let atMs = 1000;
  while (atMs <= elapsedMs) {
    gapMs *= 2;
    atMs += gapMs;
  }
  return gapMs > sweepMs ? undefined : atMs - elapsedMs;
}

/** How long an unchanged report need not be repeated: 7/8 to 9/8 of the base, so that refreshes spread out (section 10). */
export function reportLifeMs(baseMs: number, random: number): number {
  return baseMs - baseMs / 8 + (random * baseMs) / 4;
}
