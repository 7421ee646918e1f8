// Runs the suites, fast ones first, and ends with the line that CI reads: `N passed, N failed`.
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const counts = path.join(root, '.cache/test-counts');
mkdirSync(path.dirname(counts), { recursive: true });
rmSync(counts, { force: true });

const env = { ...process.env, ERU_TEST_COUNTS: counts };
// It adds 60 ms to every start of a Node process (dependencies.md section 6).
delete env.NODE_EXTRA_CA_CERTS;
delete env.NODE_ENV;
const vitest = spawn(
  path.join(root, 'node_modules/.bin/vitest'),
  ['run', '--reporter=default', `--reporter=${path.join(root, 'tests/count-reporter.ts')}`, ...process.argv.slice(2)],
  { cwd: root, env, stdio: ['ignore', 'inherit', 'inherit'] },
);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => vitest.kill(signal));
vitest.on('exit', (code) => {
  const { passed, failed, skipped } = read();
  // A crash outside any test (a worker that died, a file that does not load) is a failure too.
  const broken = code === 0 || failed > 0 ? failed : 1;
  process.stdout.write(`${passed} passed, ${broken} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
  process.exit(code === 0 && broken === 0 && passed > 0 ? 0 : 1);
});

function read() {
  try {
    return JSON.parse(readFileSync(counts, 'utf8'));
  } catch {
    return { passed: 0, failed: 0, skipped: 0 };
  }
}
