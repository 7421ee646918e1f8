import { bindsOf, ioAmounts, type IoLimit, type WorkloadSpec } from '@eru/engines';

import { diskNumber } from '../cgroups/block-device.ts';
import type { CgroupTree } from '../cgroups/cgroup.ts';
import { quotaOf } from '../cgroups/cgroup.ts';
import { capabilitiesOf, seccompOf } from './confinement.ts';
import type { WantedLimits } from '../cgroups/limits.ts';
import { networkPlace } from '../networks/network-wishes.ts';
import type { OciMount } from './oci-mount.ts';
import type { Rlimit } from './rlimits.ts';
import type { ResolvedUser } from './user.ts';

interface OciProcess {
  terminal: boolean;
  user: { uid: number; gid: number; additionalGids: number[] };
  args: readonly string[];
  env: string[];
  cwd: string;
  capabilities: Record<'bounding' | 'effective' | 'permitted', string[]>;
  noNewPrivileges: boolean;
  rlimits: { type: string; soft: number; hard: number }[];
}

export interface BundleInput {
  id: string;
  spec: WorkloadSpec;
  user: ResolvedUser;
  env: readonly string[];
  limits: WantedLimits;
  cgroups: CgroupTree;
  /** Whether swap can be bound here; asking for it where it cannot makes the runtime fail. */
  swapLimits: boolean;
  hostname: string;
  /** What root of this machine may do; nothing beyond can be given on. */
  capabilities: readonly string[];
  /** The runtime can hold back calls of the system. */
  seccomp: boolean;
  rlimits: readonly Rlimit[];
  /** The host's other file systems, and files from folders that are private. */
  hostMounts: readonly OciMount[];
  /** Generated files over those of the root: resolv.conf, hosts. */
  fileMounts: readonly OciMount[];
  /** Where a private layer over the root lives; undefined = the root itself, of the host read-only. */
  layer: { upper: string; work: string } | undefined;
  /** Private folders in which something was put before the start; the others are new each time. */
  kept: { tmp?: string; run?: string };
  /** Path of the network namespace; undefined = the host's, or an empty one. */
  netns: string | undefined;
  /** Folders that no workload may see: the engine's own. */
  hidden: readonly string[];
}

const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** `config.json` of the OCI runtime specification. All mounts are made by the runtime inside the workload's own mount namespace: the host's table never has them. */
export function ociConfig(input: BundleInput): Record<string, unknown> {
  const { spec, limits, cgroups } = input;
  const { privileged } = spec;
  const seccomp = input.seccomp ? seccompOf(privileged, capabilitiesOf(spec, input.capabilities)) : undefined;
  const namespaces = ['pid', 'ipc', 'uts', 'mount', ...(cgroups.version === 2 ? ['cgroup'] : [])].map((type) => ({
    type,
  }));
  const network = { type: 'network', ...(input.netns !== undefined && { path: input.netns }) };
  return {
    ociVersion: '1.0.2',
    hostname: input.hostname,
    process: ociProcess(input),
    root: rootOf(input),
    mounts: mountsOf(input),
    linux: {
      cgroupsPath: cgroupPath(input.id),
      namespaces: networkPlace(spec) === 'host' ? namespaces : [...namespaces, network],
      resources: ociResources(limits, input.swapLimits, privileged),
      sysctl: spec.sysctls,
      maskedPaths: [...(privileged ? [] : maskedPaths), ...input.hidden],
      readonlyPaths: privileged ? [] : readonlyPaths,
      ...(seccomp !== undefined && { seccomp }),
    },
  };
}

export function cgroupPath(id: string): string {
  return `/eru/${id}`;
}

/** A command inside; the workload's own, or one beside it. */
export function ociProcess({
  spec,
  user,
  env,
  capabilities,
  rlimits,
}: Pick<BundleInput, 'spec' | 'user' | 'env' | 'capabilities' | 'rlimits'>): OciProcess {
  const given = capabilitiesOf(spec, capabilities);
  // An ordinary user holds none by itself; setuid programs could give them back, so that door is shut for all.
  const held = user.uid === 0 ? given : [];
  return {
    terminal: false,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
    args: spec.command,
    env: [...env],
    cwd: spec.dir === '' ? '/' : spec.dir,
    capabilities: { bounding: given, effective: held, permitted: held },
    noNewPrivileges: !spec.privileged,
    rlimits: rlimits.map(({ name, soft, hard }) => ({ type: `RLIMIT_${name.toUpperCase()}`, soft, hard })),
  };
}

/** The root is an empty folder of the bundle when the view of the host is mounted over it, because `/` itself cannot be pivoted to. */
function rootOf({ spec, layer }: BundleInput): { path: string; readonly: boolean } {
  if (spec.root.type === 'folder' && layer === undefined) return { path: spec.root.path, readonly: spec.root.readOnly };
  return { path: 'rootfs', readonly: layer === undefined };
}

function mountsOf(input: BundleInput): OciMount[] {
  const { spec, layer } = input;
  const mount = (destination: string, type: string, options: string[]): OciMount => ({
    destination,
    type,
    source: type,
    options,
  });
  const own = (destination: string, source: string | undefined): OciMount | undefined =>
    source === undefined
      ? undefined
      : { destination, type: 'bind', source, options: ['bind', 'rprivate', 'rw', 'nosuid', 'nodev'] };
  const mounts: OciMount[] = [];
  if (layer !== undefined) {
    const lower = spec.root.type === 'folder' ? spec.root.path : '/';
    const options = [`lowerdir=${lower}`, `upperdir=${layer.upper}`, `workdir=${layer.work}`];
    mounts.push({ destination: '/', type: 'overlay', source: 'overlay', options });
  } else if (spec.root.type === 'host')
    mounts.push({ destination: '/', type: 'bind', source: '/', options: ['bind', 'ro', 'rprivate'] });
  if (spec.root.type === 'host') {
    // A tmpfs for the host's temporary and run-time folders; what the command needs from them follows below.
    mounts.push(
      own('/tmp', input.kept.tmp) ?? mount('/tmp', 'tmpfs', ['nosuid', 'nodev', 'mode=1777']),
      own('/run', input.kept.run) ?? mount('/run', 'tmpfs', ['nosuid', 'nodev', 'mode=755']),
    );
  }
  mounts.push(mount('/proc', 'proc', ['nosuid', 'noexec', 'nodev']));
  if (spec.privileged) {
    mounts.push({ destination: '/dev', type: 'bind', source: '/dev', options: ['rbind', 'rslave'] });
    mounts.push({ destination: '/sys', type: 'bind', source: '/sys', options: ['rbind', 'rslave'] });
  } else {
    mounts.push(
      mount('/dev', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
      mount('/dev/pts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']),
      mount('/dev/shm', 'tmpfs', ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=65536k']),
      mount('/dev/mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
      mount('/sys', 'sysfs', ['nosuid', 'noexec', 'nodev', 'ro']),
      mount('/sys/fs/cgroup', 'cgroup', ['nosuid', 'noexec', 'nodev', 'ro']),
    );
  }
  if (spec.root.type === 'host') mounts.push(...input.hostMounts);
  mounts.push(...input.fileMounts);
  for (const { source, target, mode } of bindsOf(spec))
    mounts.push({ destination: target, type: 'bind', source, options: ['rbind', 'rprivate', mode] });
  return mounts;
}

function ociResources(limits: WantedLimits, swapLimits: boolean, privileged: boolean): Record<string, unknown> {
  const { cpu, memoryBytes, pids, cpuset, memoryNodes, shares, io } = limits;
  return {
    devices: [{ allow: privileged, access: 'rwm' }],
    ...(memoryBytes !== undefined && { memory: { limit: memoryBytes, ...(swapLimits && { swap: memoryBytes }) } }),
    ...(pids !== undefined && { pids: { limit: pids } }),
    ...(io !== undefined && { blockIO: blockIo(io) }),
    cpu: {
      ...(cpu !== undefined && { quota: quotaOf(cpu), period: 100_000 }),
      ...(shares !== undefined && { shares }),
      ...(cpuset !== undefined && { cpus: cpuset.join(',') }),
      ...(memoryNodes !== undefined && { mems: memoryNodes.join(',') }),
    },
  };
}

/** The runtime's four lists, of those amounts that are limited. */
function blockIo(limits: readonly IoLimit[]): Record<string, unknown> {
  const lists = {
    readIops: 'throttleReadIOPSDevice',
    writeIops: 'throttleWriteIOPSDevice',
    readBps: 'throttleReadBpsDevice',
    writeBps: 'throttleWriteBpsDevice',
  } as const;
  return Object.fromEntries(
    ioAmounts.map((amount) => [
      lists[amount],
      limits.flatMap(({ device, [amount]: rate }) => {
        const [major, minor] = diskNumber(device).split(':').map(Number);
        return rate === undefined ? [] : [{ major, minor, rate }];
      }),
    ]),
  );
}
