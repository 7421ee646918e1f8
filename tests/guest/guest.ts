import { chmod, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { run, runOk } from '@eru/kit';
import { build } from 'esbuild';

import type { Check } from '../check.ts';

const here = import.meta.dirname;
const cache = path.join(here, '../../.cache/kernel');

/** How long a guest under emulation may take from power on to power off. */
const guestMs = 240_000;

export interface GuestResult {
  checks: Check[];
  console: string;
}

/**
 * Boots Debian's cloud kernel under QEMU's emulation with an initial file system of busybox, Node, runc, conmon and the
 * process engine, and runs the limit checks on its cgroup version 2. Nothing of it touches this machine.
 */
export async function runGuest(): Promise<GuestResult> {
  const kernel = await findKernel();
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-guest-'));
  try {
    const root = path.join(folder, 'root');
    await fillRoot(root, kernel.modules);
    const image = path.join(folder, 'initramfs');
    await runOk('sh', ['-c', 'cd "$1" && find . | busybox cpio -o -H newc > "$2" 2>/dev/null', 'sh', root, image], {
      timeoutMs: 60_000,
    });
    const disk = path.join(folder, 'disk');
    await writeFile(disk, '');
    await truncate(disk, 2 ** 24);
    const arguments_ = ['-accel', 'tcg', '-m', '3072', '-smp', '2', '-display', 'none', '-no-reboot', '-nic', 'none'];
    // To a file, which is always ready: what a slow reader of a pipe does not take at once is lost.
    const serial = path.join(folder, 'serial');
    await run(
      'qemu-system-x86_64',
      [
        ...arguments_,
        '-serial',
        `file:${serial}`,
        '-kernel',
        kernel.image,
        '-initrd',
        image,
        '-drive',
        `file=${disk},format=raw,if=none,id=disk`,
        '-device',
        'nvme,drive=disk,serial=eru',
        '-append',
        'console=ttyS0 panic=-1 quiet cgroup_no_v1=all',
      ],
      { timeoutMs: guestMs },
    );
    const console = await readFile(serial, 'utf8');
    const checks = [...console.matchAll(/^CHECK (.*?)\r?$/gm)].map(([, json]) => checkOf(json ?? ''));
    return { checks, console };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function checkOf(json: string): Check {
  try {
    return JSON.parse(json) as Check;
  } catch (cause) {
    throw new Error(`no check of the guest: ${json}`, { cause });
  }
}

/** Debian's package, unpacked and not installed; kept in the cache of the checkout. */
async function findKernel(): Promise<{ image: string; modules: string }> {
  const unpacked = path.join(cache, 'root');
  const boot = path.join(unpacked, 'boot');
  if ((await readdir(boot).catch(() => [])).length === 0) {
    await mkdir(cache, { recursive: true });
    const { stdout } = await runOk('apt-cache', ['depends', 'linux-image-cloud-amd64']);
    const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
    if (name === undefined) throw new Error('apt knows no linux-image-cloud-amd64');
    await runOk('apt-get', ['download', name], { cwd: cache, timeoutMs: 120_000 });
    const [file] = (await readdir(cache)).filter((entry) => entry.endsWith('.deb'));
    await runOk('dpkg-deb', ['-x', path.join(cache, file ?? ''), unpacked], { timeoutMs: 120_000 });
  }
  const image = (await readdir(boot)).find((entry) => entry.startsWith('vmlinuz')) ?? '';
  const [release] = await readdir(path.join(unpacked, 'lib/modules'));
  return { image: path.join(boot, image), modules: path.join(unpacked, 'lib/modules', release ?? '') };
}

async function fillRoot(root: string, modules: string): Promise<void> {
  for (const name of ['bin', 'usr/bin', 'usr/sbin', 'etc', 'guest/node_modules'])
    await mkdir(path.join(root, name), { recursive: true });
  const require = createRequire(import.meta.url);
  const at = (name: string): string => path.join(root, name);
  await copyFile('/bin/busybox', at('bin/busybox'));
  const programs = [
    [process.execPath, 'usr/bin/node'],
    [await which('runc'), 'usr/sbin/runc'],
    [await which('conmon'), 'usr/bin/conmon'],
  ] as const;
  for (const [from, to] of programs) {
    await copyFile(from, at(to));
    await copyLibraries(from, root);
  }
  await writeFile(at('etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  await writeFile(at('etc/group'), 'root:x:0:\n');
  await copyFile(path.join(modules, 'kernel/fs/overlayfs/overlay.ko'), at('guest/overlay.ko'));
  await copyFile(path.join(here, 'init'), at('init'));
  await chmod(at('init'), 0o755);
  await build({
    entryPoints: [path.join(here, 'checks.ts')],
    outfile: at('guest/checks.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    external: ['@lydell/node-pty'],
    banner: {
      js: 'import { createRequire as requireOf } from "node:module"; const require = requireOf(import.meta.url);',
    },
    logLevel: 'error',
  });
  const installed = path.dirname(path.dirname(require.resolve('@lydell/node-pty/package.json')));
  for (const name of ['node-pty', 'node-pty-linux-x64']) {
    await cp(path.join(installed, name), at(`guest/node_modules/@lydell/${name}`), {
      recursive: true,
      dereference: true,
    });
  }
  await copyLibraries(path.join(installed, 'node-pty-linux-x64/pty.node'), root);
}

async function copyLibraries(program: string, root: string): Promise<void> {
  for (const library of await libraries(program)) {
    const target = path.join(root, library);
    await mkdir(path.dirname(target), { recursive: true });
    await copyFile(library, target);
  }
}

async function which(program: string): Promise<string> {
  return (await runOk('sh', ['-c', 'PATH=$PATH:/usr/sbin:/sbin command -v "$1"', 'sh', program])).stdout.trim();
}

async function libraries(program: string): Promise<string[]> {
  const { stdout } = await runOk('ldd', [program]);
  return [...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, file]) => file ?? '');
}
