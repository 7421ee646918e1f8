// Makes a checkout ready to run: dependencies, wire types, JavaScript, and (with --parts) the real components that the
// tests need. Each step is skipped when its inputs are as they were. Uses nothing but Node, because it runs first.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const bundle = 'packages/eru/dist/bundle';
const bundleMeta = 'packages/eru/dist/bundle.json';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node ${process.versions.node} is too old: Eru needs Node 20.19 or later.`);
}
if (process.platform !== 'linux') fail(`Eru runs on Linux; this is ${process.platform}.`);

const release = await takeTurn();
installDependencies();
build();
release();
if (process.argv.includes('--parts')) await import('./parts.mjs').then((parts) => parts.provide());

/** Two prepares in one checkout take turns. The lock is a listening socket, so it falls with a killed owner. */
async function takeTurn() {
  const { dev, ino } = statSync(root);
  const address = `\0eru-prepare-${dev}-${ino}`;
  for (;;) {
    const server = net.createServer();
    const taken = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(address, () => resolve(true));
    });
    if (taken) return () => server.close();
    await new Promise((resolve) => {
      const waiting = net.connect(address, () => waiting.resume());
      waiting.on('error', () => {});
      waiting.on('close', resolve);
    });
  }
}

function installDependencies() {
  const inputs = [
    'package-lock.json',
    'package.json',
    ...glob('packages', (file) => path.basename(file) === 'package.json'),
  ];
  whenChanged('node_modules/.eru-installed', contents(inputs), () => {
    say('installing dependencies');
    const args = existsSync('package-lock.json') ? ['ci'] : ['install'];
    run('npm', [...args, '--include=dev', '--ignore-scripts', '--loglevel=error']);
  });
}

function build() {
  const protos = glob('packages', (file) => file.endsWith('.proto')).concat(
    glob('packages', (file) => path.basename(file) === 'buf.gen.yaml'),
  );
  for (const folder of new Set(
    protos.filter((file) => file.endsWith('buf.gen.yaml')).map((file) => path.dirname(file)),
  )) {
    const own = protos.filter((file) => file.startsWith(`${folder}/`));
    whenChanged(`${folder}/src/gen/.stamp`, contents(own), () => {
      say(`generating wire types of ${folder}`);
      run(bin('buf'), ['generate'], folder);
    });
  }
  const sources = ['packages', 'bench', 'simulation'].flatMap((folder) =>
    glob(folder, (file) => /\.(ts|json)$/.test(file) && !/\.(test|suite)\.ts$/.test(file)),
  );
  whenChanged(
    'node_modules/.eru-built',
    stats([...sources, 'tsconfig.json', 'tsconfig.base.json', 'scripts/prepare.mjs']),
    () => {
      say('building');
      run(bin('tsc'), ['-b', 'tsconfig.json']);
      const before = bundled();
      run(bin('esbuild'), [
        'packages/eru/dist/main.js',
        '--bundle',
        '--platform=node',
        '--target=node20',
        '--format=esm',
        '--splitting',
        '--minify-syntax',
        '--minify-whitespace',
        '--keep-names',
        '--sourcemap',
        `--outdir=${bundle}`,
        `--metafile=${bundleMeta}`,
        '--chunk-names=chunk-[hash]',
        '--log-level=error',
        '--external:lmdb',
        '--external:@lydell/node-pty',
        '--banner:js=import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
      ]);
      dropOldChunks(before);
    },
  );
}

function bundled() {
  return existsSync(bundleMeta) ? Object.keys(JSON.parse(readFileSync(bundleMeta, 'utf8')).outputs) : [];
}

/** A daemon of an earlier build loads its chunks when it needs them: they stay for a week after they went out of use. */
function dropOldChunks(before) {
  const now = new Date();
  for (const file of before) if (existsSync(file)) utimesSync(file, now, now);
  const current = new Set(bundled());
  for (const name of readdirSync(bundle)) {
    const file = `${bundle}/${name}`;
    if (name.startsWith('chunk-') && !current.has(file) && now - statSync(file).mtime > 7 * 86_400_000) rmSync(file);
  }
}

/** Runs `step` when the stamp does not hold `key`, and writes the stamp after success only. */
function whenChanged(stamp, key, step) {
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return;
  step();
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, key);
}

function contents(files) {
  const hash = createHash('sha256').update(process.version);
  for (const file of files.toSorted()) if (existsSync(file)) hash.update(file).update(readFileSync(file));
  return hash.digest('hex');
}

function stats(files) {
  const hash = createHash('sha256');
  for (const file of files.toSorted()) {
    const { size, mtimeMs } = statSync(file);
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

function glob(folder, matches) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === 'node_modules' || entry.name === 'dist') continue;
    const file = `${folder}/${entry.name}`;
    if (entry.isDirectory()) found.push(...glob(file, matches));
    else if (matches(file)) found.push(file);
  }
  return found;
}

function bin(name) {
  return path.join(root, 'node_modules/.bin', name);
}

function run(command, args, cwd = root) {
  // NODE_ENV=production would leave the compiler out; data goes to stderr because stdout belongs to the command.
  const env = { ...process.env, PATH: `${path.join(root, 'node_modules/.bin')}:${process.env.PATH}` };
  delete env.NODE_ENV;
  const { status, error } = spawnSync(command, args, { cwd, env, stdio: ['ignore', 2, 2] });
  if (status !== 0) fail(`\`${path.basename(command)} ${args.join(' ')}\` failed${error ? `: ${error.message}` : ''}`);
}

function say(text) {
  process.stderr.write(`eru: ${text}\n`);
}

function fail(text) {
  process.stderr.write(`eru: ${text}\n`);
  process.exit(1);
}
