import { writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** A file of tests that did not pass, as `scripts/test.mjs` reads it from `ERU_TEST_FAILED`. */
interface Failed extends Counts {
  /** Path from the root of the checkout. */
  file: string;
  project: string;
  /** Full names; none where it failed before its first test. */
  tests: string[];
}

/**
 * Keeps the running counts in the file that `scripts/test.mjs` reads, so that they survive a run that is cut short, and which files
 * failed, so that they can be tried again. Ends with the suites that were skipped for want of something (`tests/parts.ts`), and how it is
 * provided.
 */
export default class CountReporter implements Reporter {
  /** Begins with what an earlier run has counted of other files. */
  readonly #counts: Counts = JSON.parse(
    process.env['ERU_TEST_COUNTED'] ?? '{"passed":0,"failed":0,"skipped":0}',
  ) as Counts;
  /** File -> what is known of it so far. */
  readonly #files = new Map<string, Failed>();
  /** What is needed -> the suites that need it. */
  readonly #wanting = new Map<string, string[]>();

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state === 'pending') return;
    const file = this.#fileOf(test.module);
    if (state === 'failed') file.tests.push(test.fullName);
    file[state] += 1;
    this.#counts[state] += 1;
    write('ERU_TEST_COUNTS', this.#counts);
  }

  onTestModuleEnd(module: TestModule): void {
    for (const suite of module.children.suites()) {
      const [, name, need] = /^(.*) \((needs .*)\)$/.exec(suite.name) ?? [];
      if (name !== undefined && need !== undefined) this.#wanting.set(need, [...(this.#wanting.get(need) ?? []), name]);
    }
  }

  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    for (const [need, suites] of this.#wanting) process.stdout.write(listOf(`skipped, ${need}`, suites.toSorted()));
    // What fails outside of every file cannot be tried again with one.
    if (errors.length > 0) return;
    write(
      'ERU_TEST_FAILED',
      modules.filter((module) => module.state() === 'failed').map((module) => this.#fileOf(module)),
    );
  }

  #fileOf({ relativeModuleId: file, project }: TestModule): Failed {
    const known = this.#files.get(file) ?? { file, project: project.name, tests: [], passed: 0, failed: 0, skipped: 0 };
    this.#files.set(file, known);
    return known;
  }
}

/** Into the file that the variable names, if it does. */
function write(variable: string, value: unknown): void {
  const file = process.env[variable];
  if (file !== undefined) writeFileSync(file, JSON.stringify(value));
}

function listOf(title: string, names: readonly string[]): string {
  return `${title}\n${names.map((name) => `  ${name}\n`).join('')}\n`;
}
