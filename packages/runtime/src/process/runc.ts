import { childEnvironment, EruError, run } from '@eru/kit';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { cgroupPath, ociConfig, ociProcess } from './bundle.ts';
import type { OciMount } from './oci-mount.ts';
import { makeGroup } from '../cgroups/cgroup.ts';
import { privateFolder, privateNames } from '../files/file-view.ts';
import { hostNameOf, writeNameFiles } from './name-files.ts';
import { hostFileSystems, neededFromPrivate } from './host-view.ts';
import { defaultPath, distinct, environmentOf, pidFile, rootOf, type Launcher, type Place } from './launcher.ts';
import { rlimitsOf } from './rlimits.ts';
import type { Machine, RuntimeName } from '../cgroups/machine.ts';
import type { WantedLimits } from '../cgroups/limits.ts';
import { defaultSize } from './session.ts';
import { resolveUser } from './user.ts';

/** Opens the file as descriptor 3 and removes its name. */
const withFile = 'exec 3<"$1"; rm -f "$1"; shift; exec "$@"';

/** Containers of runc. The folder of the run is the bundle. */
export const runcLauncher: Launcher = {
  kind: 'runc',

  async prepare(place, limits) {
    await writeBundle(place, limits);
    const { folder, machine, record } = place;
    // runc makes it too, and fails where another daemon has just removed the empty parent: a group that is there keeps it.
    await makeGroup(machine.cgroups, cgroupPath(record.id));
    // Its group is read for out-of-memory kills when it has ended; crun knows no such option.
    const kept = runtimeName(machine) === 'runc' ? ['--keep'] : [];
    const words = runcWords(place, 'run', ...kept, '--pid-file', pidFile(folder), '--bundle', folder.run, record.id);
    return { words, env: childEnvironment() };
  },

  async exec(place, spec) {
    const { folder, machine, record } = place;
    const description = ociProcess({
      spec: { ...record.spec, command: spec.command, dir: spec.dir === '' ? record.spec.dir : spec.dir },
      user: resolveUser(spec.user === '' ? record.spec.user : spec.user, rootOf(record.spec)),
      env: distinct([...environmentOf(record), ...spec.env]),
      capabilities: machine.capabilities,
      rlimits: rlimitsOf(record.spec),
    });
    // From a file, because only so the terminal has its size before the command asks for it. The folder goes with the run.
    const file = path.join(folder.run, `exec-${randomUUID()}.json`);
    const { rows, cols } = spec.size ?? defaultSize;
    const terminal = spec.tty && { terminal: true, consoleSize: { height: rows, width: cols } };
    await writeFile(file, encode({ ...description, ...terminal }), { mode: 0o600 });
    // The shell forgets the file once runc has it open, and becomes runc: signals and exit code are runc's own.
    const words = [
      '/bin/sh',
      '-c',
      withFile,
      'eru-exec',
      file,
      ...runcWords(place, 'exec', '--process', '/proc/self/fd/3', record.id),
    ];
    return { words, env: childEnvironment() };
  },

  async clear(place) {
    const { machine, runcRoot, record } = place;
    const state = path.join(runcRoot, record.id);
    // Starting a program costs more than the look.
    if (!existsSync(state)) return;
    if (machine.runc !== undefined) await run(machine.runc, ['--root', runcRoot, 'delete', '--force', record.id]);
    // What a killed runc has left half-made is not known to it, and still refuses the name.
    await rm(state, { recursive: true, force: true });
  },
};

/** Which of the two runtimes a machine uses, by the name of its program. */
export function runtimeName({ runc = 'runc' }: Pick<Machine, 'runc'>): RuntimeName {
  return path.basename(runc) === 'crun' ? 'crun' : 'runc';
}

/** A command line of runc for this workload's state. Throws `precondition` where runc has gone since the workload was started. */
export function runcWords({ machine, runcRoot, record }: Place, ...args: string[]): string[] {
  if (machine.runc === undefined)
    throw new EruError(
      'precondition',
      `${record.spec.name} runs under an OCI runtime, which cannot be used on this node any more`,
    );
  return [machine.runc, '--root', runcRoot, ...args];
}

/** What runc says, without the dress of its log: `time="…" level=error msg="the words"`. */
export function plainWords(line: string): string {
  const message = /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1];
  return message === undefined ? line.trim() : message.replaceAll(/\\(.)/g, '$1');
}

async function writeBundle(place: Place, limits: WantedLimits): Promise<void> {
  const { machine, folder, record, hidden } = place;
  const { spec } = record;
  const layer =
    record.shared === true || (spec.root.type === 'host' && spec.root.writable)
      ? { upper: path.join(folder.layer, 'upper'), work: path.join(folder.layer, 'work') }
      : undefined;
  const folders = [path.join(folder.run, 'rootfs'), ...Object.values(layer ?? {})];
  await Promise.all(folders.map((name) => mkdir(name, { recursive: true })));
  const mountinfo = await readFile('/proc/self/mountinfo', 'utf8');
  const hostMounts = [...hostFileSystems(mountinfo, hidden), ...neededFromPrivate(spec.command, spec.dir, defaultPath)];
  const config = ociConfig({
    id: record.id,
    spec,
    user: resolveUser(spec.user, rootOf(spec)),
    env: environmentOf(record),
    limits,
    cgroups: machine.cgroups,
    swapLimits: machine.swapLimits,
    hostname: hostNameOf(spec),
    capabilities: machine.capabilities,
    seccomp: machine.seccomp,
    rlimits: rlimitsOf(spec),
    hostMounts,
    fileMounts: await fileMounts(place),
    layer,
    kept: Object.fromEntries(
      privateNames.map((name) => [name, privateFolder(place, name)] as const).filter(([, own]) => existsSync(own)),
    ),
    netns: place.network?.netns,
    hidden,
  });
  await writeFile(path.join(folder.run, 'config.json'), encode(config), { mode: 0o600 });
}

/** Generated files over those of the root. */
async function fileMounts(place: Place): Promise<OciMount[]> {
  const written = await writeNameFiles(place);
  return written.map(({ source, target }) => ({
    destination: target,
    type: 'bind',
    source,
    options: ['bind', 'rprivate', 'ro'],
  }));
}

/** JSON has no number for "no limit" that JavaScript can hold: it is 2^64 - 1, in all its digits. */
function encode(config: unknown): string {
  const text = JSON.stringify(config, (_key, value: unknown) => (value === Number.POSITIVE_INFINITY ? 'INF' : value));
  return text.replaceAll(/"(soft|hard)":"INF"/g, '"$1":18446744073709551615');
}
