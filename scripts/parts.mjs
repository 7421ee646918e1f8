// The real components that the test suites run against, and how a Debian machine provides each.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** part: the file that proves it is there, and the Debian package that brings it. */
export const parts = {
  etcd: { proof: () => inPath('etcd'), package: 'etcd-server' },
  runc: { proof: () => inPath('runc'), package: 'runc' },
  crun: { proof: () => inPath('crun'), package: 'crun' },
  conmon: { proof: () => inPath('conmon'), package: 'conmon' },
  busybox: { proof: () => existsSync('/bin/busybox'), package: 'busybox-static' },
  docker: { proof: () => inPath('dockerd'), package: 'docker.io' },
  podman: { proof: () => inPath('podman'), package: 'podman' },
  registry: { proof: () => inPath('docker-registry'), package: 'docker-registry' },
  git: { proof: () => inPath('git'), package: 'git' },
  ip: { proof: () => inPath('ip'), package: 'iproute2' },
  compose: { proof: () => inPath('docker-compose'), package: 'docker-compose' },
  cni: { proof: () => existsSync('/usr/lib/cni/bridge'), package: 'containernetworking-plugins' },
  iptables: { proof: () => inPath('iptables'), package: 'iptables' },
  ping: { proof: () => inPath('ping'), package: 'iputils-ping' },
  qemu: { proof: () => inPath('qemu-system-x86_64'), package: 'qemu-system-x86' },
};

export function missing(names = Object.keys(parts)) {
  return names.filter((name) => !parts[name].proof());
}

/** The command that provides these parts. */
export function remedy(names) {
  return `apt-get install -y ${names.map((name) => parts[name].package).join(' ')}`;
}

/** Installs what is missing, as root on Debian; elsewhere says what to do and lets the suites skip by name. */
export function provide() {
  const wanted = missing();
  if (wanted.length === 0) return;
  if (process.getuid() !== 0 || !inPath('apt-get')) {
    say(
      `these parts are missing, their suites will be skipped: ${wanted.join(', ')}. To provide them: ${remedy(wanted)}`,
    );
    return;
  }
  say(`installing through apt-get for the tests: ${wanted.join(', ')}`);
  const apt = (...args) =>
    spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=600', '-o', 'APT::Install-Recommends=false', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdio: ['ignore', 2, 2],
    });
  if (!hasLists()) apt('update');
  const packages = wanted.map((name) => parts[name].package);
  // Package lists of an older day name files that are gone: refresh them once before giving up.
  if (apt('install', '-y', ...packages).status !== 0) {
    apt('update');
    apt('install', '-y', ...packages);
  }
  const still = missing(wanted);
  if (still.length > 0) say(`could not install: ${still.join(', ')}`);
}

function hasLists() {
  try {
    return readdirSync('/var/lib/apt/lists').some((name) => name.includes('_Packages'));
  } catch {
    return false;
  }
}

function inPath(command) {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];
  return folders.some((folder) => {
    try {
      accessSync(path.join(folder, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

function say(text) {
  process.stderr.write(`eru: ${text}\n`);
}
