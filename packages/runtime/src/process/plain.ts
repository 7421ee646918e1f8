import type { ExecSpec, WorkloadSpec } from '@eru/engines';
import { EruError } from '@eru/kit';
import path from 'node:path';

import { cgroupPath } from './bundle.ts';
import { limitWrites, makeGroup, writeLimits } from '../cgroups/cgroup.ts';
import { environmentOf, pidFile, type Launcher, type Place } from './launcher.ts';
import { rlimitsOf } from './rlimits.ts';
import type { Machine } from '../cgroups/machine.ts';
import { writeNameFiles } from './name-files.ts';
import { findProcesses, readProc } from './process-identity.ts';
import { resolveUser } from './user.ts';

/** Joins the groups, says its pid where asked, becomes the command. */
const join =
  'pid=$1; shift; while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; [ -z "$pid" ] || echo $$ > "$pid"; exec "$@"';
/** Binds each first file over the second, becomes the command. */
const bindFiles = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 126; shift 2; done; shift; exec "$@"';
/** What marks every process of a workload, also one that leaves its session: its environment is inherited. */
const marker = 'ERU_WORKLOAD';

/** Processes that see the whole machine, where runc cannot be used: in sessions of their own, and in cgroups where these can be written. */
export const plainLauncher: Launcher = {
  kind: 'plain',

  async prepare(place, limits) {
    const { machine, record } = place;
    const group = cgroupPath(record.id);
    await makeGroup(machine.cgroups, group);
    await writeLimits(machine.cgroups, group, limitWrites(machine.cgroups, limits));
    const command = [...asUser(machine, record.spec, record.spec.dir), ...record.spec.command];
    return { words: await inside(place, pidFile(place.folder), command), env: environment(place) };
  },

  async exec(place, spec) {
    const { machine, record } = place;
    const user = spec.user === '' ? record.spec.user : spec.user;
    const dir = spec.dir === '' ? record.spec.dir : spec.dir;
    const command = [...asUser(machine, { ...record.spec, user }, dir), ...spec.command];
    return { words: await inside(place, '', command), env: environment(place, spec) };
  },

  clear: () => Promise.resolve(), // The cgroup and the processes in it are cleared for every launcher.
};

/** Living processes of a workload by their mark: for machines without cgroups. Its supervisor, which has the mark too, is left out. */
export function markedProcesses(id: string): number[] {
  const mark = `${marker}=${id}`;
  return findProcesses(
    (pid) =>
      (readProc(pid, 'environ') ?? '').split('\0').includes(mark) &&
      !(readProc(pid, 'cmdline') ?? '').split('\0').includes('eru-supervisor'),
  );
}

async function inside(place: Place, pid: string, command: readonly string[]): Promise<string[]> {
  const { machine, record } = place;
  const { setsid } = machine.tools;
  const groups = [...new Set(Object.values(machine.cgroups.mounts))].map((mount) =>
    path.join(mount, cgroupPath(record.id), 'cgroup.procs'),
  );
  return [
    // The supervisor must outlive a signal to the command's whole session.
    ...(setsid === undefined || pid === '' ? [] : [setsid]),
    '/bin/sh',
    '-c',
    join,
    'eru-join',
    pid,
    ...groups,
    '--',
    ...(await inNamespace(place)),
    ...limited(machine, record.spec),
    ...command,
  ];
}

/** Into its network namespace, with the resolver's files of its own bound in a mount namespace that nobody else is in. */
async function inNamespace(place: Place): Promise<string[]> {
  if (place.network === undefined) return [];
  const files = (await writeNameFiles(place)).flatMap(({ source, target }) => [source, target]);
  const alone = ['nsenter', `--net=${place.network.netns}`, '--', 'unshare', '--mount', '--propagation', 'slave', '--'];
  return [...alone, '/bin/sh', '-c', bindFiles, 'eru-bind', ...files, '--'];
}

function environment({ record }: Place, spec?: ExecSpec): NodeJS.ProcessEnv {
  const variables = [...environmentOf(record), ...(spec?.env ?? []), `${marker}=${record.id}`];
  return Object.fromEntries(variables.map(splitVariable));
}

/** Changes the user, and the working folder, of a command on the host. */
function asUser(machine: Machine, spec: WorkloadSpec, dir: string): string[] {
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
  const groups = user.groups.length === 0 ? ['--clear-groups'] : ['--groups', user.groups.join(',')];
  return [machine.tools.setpriv, '--reuid', String(user.uid), '--regid', String(user.gid), ...groups, ...cd];
}

function limited(machine: Machine, spec: WorkloadSpec): string[] {
  const limits = rlimitsOf(spec);
  if (limits.length === 0) return [];
  if (machine.tools.prlimit === undefined)
    throw new EruError('unsupported', 'ulimits: neither runc nor prlimit is there to set them');
  const text = (value: number): string => (Number.isFinite(value) ? String(value) : 'unlimited');
  return [machine.tools.prlimit, ...limits.map(({ name, soft, hard }) => `--${name}=${text(soft)}:${text(hard)}`)];
}

function splitVariable(variable: string): [string, string] {
  const at = variable.indexOf('=');
  return at < 0 ? [variable, ''] : [variable.slice(0, at), variable.slice(at + 1)];
}
