/** What a refusal throws; a call that is not refused fails the test. */
export function catching(run: () => unknown): Error {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof Error) return thrown;
  }
  throw new Error('nothing was refused');
}
