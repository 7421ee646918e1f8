/**
 * How far the log of a workload has been taken: the time of its last line, and how many lines of that very time have been
 * taken, for engines give no finer place. `seq` is the number of that last line.
 */
export interface LogCursor {
  atMs: number;
  count: number;
  seq: number;
}

/** The cursor after one more line. */
export function advance({ atMs, count, seq }: LogCursor, lineAtMs: number): LogCursor {
  return { atMs: lineAtMs, count: lineAtMs === atMs ? count + 1 : 1, seq: seq + 1 };
}

/** Tells, of a log that is read again from `atMs` of the cursor on, which lines were taken before. */
export function takenBefore({ atMs, count }: LogCursor): (lineAtMs: number) => boolean {
  let left = count;
  return (lineAtMs) => {
    if (left === 0) return false;
    if (lineAtMs !== atMs) left = 0;
    else left -= 1;
    return lineAtMs === atMs;
  };
}
