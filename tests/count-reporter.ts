import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

/**
 * Keeps the running counts in the file that `scripts/test.mjs` reads, so that they survive a run that is cut short, and ends
 * with the tests that passed only when tried again, and the suites that were skipped for want of something (`tests/parts.ts`),
 * and how it is provided.
 */
export default class CountReporter implements Reporter {
  #counts = { passed: 0, failed: 0, skipped: 0 };
  /** What is needed -> the suites that need it. */
  readonly #wanting = new Map<string, string[]>();

  /** Names of tests that failed before they passed. */
  readonly #flaky: string[] = [];

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === 'pending') return;
    if (test.diagnostic()?.flaky === true) this.#flaky.push(`${test.module.relativeModuleId}: ${test.fullName}`);
    this.#counts[state] += 1;
    const file = process.env['ERU_TEST_COUNTS'];
    if (file !== undefined) writeFileSync(file, JSON.stringify(this.#counts));
  }

  onTestModuleEnd(module: TestModule): void {
    for (const suite of module.children.suites()) {
      const [, name, need] = /^(.*) \((needs .*)\)$/.exec(suite.name) ?? [];
      if (name !== undefined && need !== undefined) this.#wanting.set(need, [...(this.#wanting.get(need) ?? []), name]);
    }
  }

  onTestRunEnd(): void {
    if (this.#flaky.length > 0) process.stdout.write(listOf('passed only when tried again', this.#flaky));
    for (const [need, suites] of this.#wanting) process.stdout.write(listOf(`skipped, ${need}`, suites.toSorted()));
  }
}

function listOf(title: string, names: readonly string[]): string {
  return `${title}\n${names.map((name) => `  ${name}\n`).join('')}\n`;
}
