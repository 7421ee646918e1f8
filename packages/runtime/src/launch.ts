import type { WorkloadSpec } from '@eru/engines';
import { childEnvironment, EruError, run } from '@eru/kit';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { cgroupPath, ociConfig } from './bundle.ts';
import { limitWrites, makeGroup, writeLimits } from './cgroup.ts';
import { hostFileSystems, neededFromPrivate } from './host-view.ts';
import type { WantedLimits } from './limits.ts';
import { ownHardLimit, type Machine } from './machine.ts';
import { portVariable } from './ports.ts';
import { resolveUser } from './user.ts';
import type { WorkloadFolder, WorkloadRecord } from './workload-folder.ts';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Two commands that outlive the daemon: run it, then keep its exit code. In a session of its own, so that Ctrl-C at a
 * terminal reaches nothing of it.
 */
const supervise = 'code=$1; shift; "$@"; echo $? > "$code.tmp"; mv "$code.tmp" "$code"';
/** Joins the groups, says its pid, becomes the command. */
const join = 'pid=$1; shift; while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; echo $$ > "$pid"; exec "$@"';

export interface LaunchPlan {
  machine: Machine;
  folder: WorkloadFolder;
  record: WorkloadRecord;
  limits: WantedLimits;
  /** State folder of runc. */
  runcRoot: string;
  /** Folders that no workload may see. */
  hidden: readonly string[];
}

export function pidFile(folder: WorkloadFolder): string {
  return path.join(folder.run, 'pid');
}

export function exitFile(folder: WorkloadFolder): string {
  return path.join(folder.run, 'exit');
}

/** What the command gets: the defaults, the request's own, its ports. */
export function environmentOf({ spec, ports }: WorkloadRecord): string[] {
  const { home } = resolveUser(spec.user, rootOf(spec));
  return [
    `PATH=${defaultPath}`,
    `HOME=${home}`,
    ...spec.env,
    ...Object.entries(ports).map(([name, port]) => `${portVariable(name)}=${port}`),
  ];
}

export function rootOf(spec: WorkloadSpec): string {
  return spec.root.type === 'folder' ? spec.root.path : '/';
}

/** Starts the supervisor with the command below it; returns at once. */
export async function launch(plan: LaunchPlan): Promise<void> {
  const { machine, folder, record } = plan;
  await rm(folder.run, { recursive: true, force: true });
  await mkdir(folder.run, { recursive: true });
  const command = machine.runc === undefined ? await plainCommand(plan) : await runcCommand(plan, machine.runc);
  const output = ['stdout', 'stderr'].map((name) => openSync(path.join(folder.run, name), 'a', 0o600));
  try {
    const child = spawn('/bin/sh', ['-c', supervise, 'eru-supervisor', exitFile(folder), ...command], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', ...output],
      env:
        machine.runc === undefined ? Object.fromEntries(environmentOf(record).map(splitVariable)) : childEnvironment(),
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new EruError('failed', `cannot start a supervisor: ${cause.message}`, { cause })),
      );
    });
    child.unref();
  } finally {
    for (const descriptor of output) closeSync(descriptor);
  }
}

async function runcCommand(
  { machine, folder, record, limits, runcRoot, hidden }: LaunchPlan,
  runc: string,
): Promise<string[]> {
  const { spec } = record;
  const layer =
    spec.root.type === 'host' && spec.root.writable
      ? { upper: path.join(folder.layer, 'upper'), work: path.join(folder.layer, 'work') }
      : undefined;
  if (layer !== undefined) for (const name of Object.values(layer)) await mkdir(name, { recursive: true });
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8');
  const hostMounts = [...hostFileSystems(mountinfo, hidden), ...neededFromPrivate(spec.command, spec.dir, defaultPath)];
  const config = ociConfig({
    id: record.id,
    spec,
    user: resolveUser(spec.user, rootOf(spec)),
    env: environmentOf(record),
    limits,
    cgroups: machine.cgroups,
    swapLimits: machine.swapLimits,
    hostname: spec.name.replaceAll(/[^A-Za-z0-9-]/g, '-').slice(0, 63),
    capabilities: machine.capabilities,
    rlimits: rlimitsOf(spec),
    hostMounts,
    fileMounts: [],
    layer,
    hidden,
  });
  await writeFile(path.join(folder.bundle, 'config.json'), JSON.stringify(config), { mode: 0o600 });
  // What an earlier run has left would refuse the name.
  await run(runc, ['--root', runcRoot, 'delete', '--force', record.id]);
  return [
    runc,
    '--root',
    runcRoot,
    'run',
    '--keep',
    '--pid-file',
    pidFile(folder),
    '--bundle',
    folder.bundle,
    record.id,
  ];
}

async function plainCommand({ machine, folder, record, limits }: LaunchPlan): Promise<string[]> {
  const { spec } = record;
  const group = cgroupPath(record.id);
  await makeGroup(machine.cgroups, group);
  await writeLimits(machine.cgroups, group, limitWrites(machine.cgroups, limits));
  const groups = [...new Set(Object.values(machine.cgroups.mounts))].map((mount) =>
    path.join(mount, group, 'cgroup.procs'),
  );
  return [
    '/bin/sh',
    '-c',
    join,
    'eru-join',
    pidFile(folder),
    ...groups,
    '--',
    ...asUser(machine, spec),
    ...spec.command,
  ];
}

/** Changes the user, and the working folder, of a command on the host. */
export function asUser(machine: Machine, spec: WorkloadSpec, dir = spec.dir): string[] {
  const cd = dir === '' ? [] : ['/bin/sh', '-c', 'cd "$1" && shift && exec "$@"', 'eru-cd', dir];
  // Nobody named: the daemon's own user, whoever that is.
  if (spec.user === '') return cd;
  const user = resolveUser(spec.user, '/');
  if (user.uid === machine.uid) return cd;
  if (machine.uid !== 0 || machine.tools.setpriv === undefined) {
    throw new EruError(
      'unsupported',
      `user: ${spec.user} cannot be had here, because this daemon runs as user ${machine.uid} without runc`,
    );
  }
  return [machine.tools.setpriv, '--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups', ...cd];
}

/** `unsupported` for more than this process itself may have: only CAP_SYS_RESOURCE could raise it. */
export function rlimitsOf({ ulimits }: WorkloadSpec): { type: string; soft: number; hard: number }[] {
  return Object.entries(ulimits).map(([name, { soft, hard }]) => {
    const most = ownHardLimit(name);
    if (Number.isNaN(most)) throw new EruError('unsupported', `ulimits: ${name} is not a limit of this system`);
    if (hard > most)
      throw new EruError(
        'unsupported',
        `ulimits: ${name} ${hard} is more than this daemon may give; the most is ${most}`,
      );
    return { type: `RLIMIT_${name.toUpperCase()}`, soft, hard };
  });
}

function splitVariable(variable: string): [string, string] {
  const at = variable.indexOf('=');
  return at < 0 ? [variable, ''] : [variable.slice(0, at), variable.slice(at + 1)];
}
