/** For loops that end only when aborted: anything else is a bug, and rejects. */
export async function untilAborted(run: Promise<void>, signal: AbortSignal): Promise<void> {
  try {
    await run;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
