// Types, lint with the architecture rules, formatting, dead code. All four run, so that one run shows everything.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const checks = [
  ['types', 'node', ['scripts/prepare.mjs']],
  ['types of tests', 'tsc', ['-p', 'tsconfig.check.json']],
  [
    'lint and architecture',
    'oxlint',
    ['--type-aware', '--quiet', 'packages', 'tests', 'bench', 'simulation', 'scripts'],
  ],
  ['format', 'oxfmt', ['--check', '.']],
  ['dead code', 'knip', ['--no-progress']],
];
const failed = checks.filter(([name, command, args]) => {
  const file = command === 'node' ? process.execPath : path.join(root, 'node_modules/.bin', command);
  const ok = spawnSync(file, args, { cwd: root, stdio: ['ignore', 2, 2] }).status === 0;
  process.stderr.write((ok ? 'ok     ' : 'FAILED ') + name + '\n');
  return !ok;
});
process.exit(failed.length === 0 ? 0 : 1);
