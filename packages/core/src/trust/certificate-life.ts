import type { Clock } from '@eru/kit';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

/** The authority is as old as its cluster; nothing renews it. */
export const authorityLifeMs = 20 * 365 * dayMs;

/** Of a core or of a node. */
export const certificateLifeMs = 30 * dayMs;

/** A clock that is behind by this does not take a new certificate for one of the future. */
const backdatedMs = hourMs;

/** A life that begins now. */
export function validFor(clock: Clock, lifeMs: number): { notBeforeMs: number; notAfterMs: number } {
  const now = clock.now();
  return { notBeforeMs: now - backdatedMs, notAfterMs: now + lifeMs };
}
