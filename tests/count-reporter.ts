import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase } from 'vitest/node';

/** Keeps the running counts in the file that `scripts/test.mjs` reads, so that they survive a run that is cut short. */
export default class CountReporter implements Reporter {
  #counts = { passed: 0, failed: 0, skipped: 0 };

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === 'pending') return;
    this.#counts[state] += 1;
    const file = process.env['ERU_TEST_COUNTS'];
    if (file !== undefined) writeFileSync(file, JSON.stringify(this.#counts));
  }
}
