// Runs the suites, fast ones first, and ends with the line that CI reads: `N passed, N failed`. In CI a few suites of real parts
// that failed may try again, each from its beginning, with the machine to themselves, and the report names what had to.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const files = {
  ERU_TEST_COUNTS: path.join(root, '.cache/test-counts'),
  ERU_TEST_FAILED: path.join(root, '.cache/test-failed'),
};
/** Where more fail than these, it is no lost race. */
const mostAgain = 3;
const asked = process.argv.slice(2);

const env = { ...process.env, ...files };
// It adds 60 ms to every start of a Node process (dependencies.md section 6).
delete env.NODE_EXTRA_CA_CERTS;
delete env.NODE_ENV;
let running;
let stopped = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    stopped = true;
    running?.kill(signal);
  });

mkdirSync(path.join(root, '.cache'), { recursive: true });
for (const file of Object.values(files)) rmSync(file, { force: true });
let code = await vitest(asked);
const again = code === 0 || stopped || asked.length > 0 || process.env.CI === undefined ? [] : toTryAgain();
if (again.length > 0) {
  const counted = counts();
  for (const one of again) for (const state of Object.keys(counted)) counted[state] -= one[state];
  rmSync(files.ERU_TEST_FAILED);
  process.stdout.write(`trying again, alone: ${again.map(({ file }) => file).join(', ')}\n`);
  const words = ['--maxWorkers=1', ...again.map(({ file }) => path.join(root, file))];
  code = await vitest(words, { ERU_TEST_COUNTED: JSON.stringify(counted) });
  const still = new Set((read(files.ERU_TEST_FAILED) ?? again).map(({ file }) => file));
  const lucky = again.filter(({ file }) => !still.has(file));
  if (lucky.length > 0) process.stdout.write('passed only when tried again\n');
  for (const { file, tests } of lucky)
    for (const test of tests.length > 0 ? tests : ['(its preparation)']) process.stdout.write(`  ${file}: ${test}\n`);
}
const { passed, failed, skipped } = counts();
// A crash outside any test (a worker that died, a file that does not load) is a failure too.
const broken = code === 0 || failed > 0 ? failed : 1;
process.stdout.write(`${passed} passed, ${broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
process.exitCode = code === 0 && broken === 0 && passed > 0 ? 0 : 1;

/** Runs vitest with more words; answers its exit code, null where a signal has ended it. */
function vitest(words, more = {}) {
  const reporters = ['--reporter=default', `--reporter=${path.join(root, 'tests/count-reporter.ts')}`];
  running = spawn(path.join(root, 'node_modules/.bin/vitest'), ['run', ...reporters, ...words], {
    cwd: root,
    env: { ...env, ...more },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  return new Promise((resolve) => running.on('exit', resolve));
}

/** The files that failed, where all of them are of real parts and few. */
function toTryAgain() {
  const failed = read(files.ERU_TEST_FAILED) ?? [];
  return failed.length <= mostAgain && failed.every(({ project }) => project !== 'unit') ? failed : [];
}

function counts() {
  return read(files.ERU_TEST_COUNTS) ?? { passed: 0, failed: 0, skipped: 0 };
}

function read(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
}
