import type { WorkloadSpec } from '@eru/engines';
import { EruError, invalid, isJsonObject } from '@eru/kit';

import { capabilityNames } from '../cgroups/machine.ts';

/** Docker's: enough for services that begin as root, not enough to change the host. */
const defaultCapabilities =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE'
    .split(' ')
    .map((name) => `CAP_${name}`);

/**
 * Capability -> calls of the system that are of no use without it; they are refused before the kernel looks at what they
 * carry, because it is there that its mistakes have been. What is under an empty name only the privileged may call.
 */
const guarded: Readonly<Record<string, string>> = {
  CAP_SYS_ADMIN:
    'mount umount umount2 pivot_root fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr setns bpf perf_event_open fanotify_init quotactl quotactl_fd lookup_dcookie swapon swapoff',
  CAP_SYS_PTRACE: 'ptrace process_vm_readv process_vm_writev process_madvise kcmp pidfd_getfd',
  CAP_SYS_MODULE: 'create_module init_module finit_module delete_module',
  CAP_SYS_BOOT: 'reboot kexec_load kexec_file_load',
  CAP_SYS_TIME: 'settimeofday stime clock_settime clock_settime64',
  CAP_SYS_RAWIO: 'iopl ioperm',
  CAP_SYSLOG: 'syslog',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  '': 'keyctl add_key request_key userfaultfd io_uring_setup io_uring_enter io_uring_register',
};

const cloneNewUser = 0x10_00_00_00;
const noSuchCall = 38;

/** Capabilities that it gets beside the defaults, and those of them that it does not. */
interface Wishes {
  add: readonly string[];
  drop: readonly string[];
}

/**
 * What the main process may have, as `CAP_…`, of what this daemon itself has.
 * @throws EruError `invalid` for a name that is none, `unsupported` for one that this daemon has not
 */
export function capabilitiesOf(spec: Pick<WorkloadSpec, 'privileged' | 'rawArgs'>, own: readonly string[]): string[] {
  const { add, drop } = wishesOf(spec.rawArgs);
  const beyond = add.find((name) => name !== 'CAP_ALL' && !own.includes(name));
  if (beyond !== undefined)
    throw new EruError('unsupported', `raw_args: cap_add: this node daemon has no ${beyond} to give`);
  const all = spec.privileged || add.includes('CAP_ALL');
  const given = all ? own : own.filter((name) => defaultCapabilities.includes(name) || add.includes(name));
  if (drop.includes('CAP_ALL')) return given.filter((name) => add.includes(name));
  return given.filter((name) => !drop.includes(name));
}

/** Whether it asks for capabilities, which only a runtime can give and take. */
export function wishesCapabilities({ rawArgs }: Pick<WorkloadSpec, 'rawArgs'>): boolean {
  const { add, drop } = wishesOf(rawArgs);
  return add.length + drop.length > 0;
}

/** The `seccomp` of the OCI specification: what is listed is refused with "operation not permitted", all else allowed. Undefined for the privileged. */
export function seccompOf(privileged: boolean, capabilities: readonly string[]): Record<string, unknown> | undefined {
  if (privileged) return undefined;
  const refused = Object.entries(guarded).flatMap(([capability, names]) =>
    capabilities.includes(capability) ? [] : names.split(' '),
  );
  const userNamespace = { index: 0, value: cloneNewUser, valueTwo: cloneNewUser, op: 'SCMP_CMP_MASKED_EQ' };
  const namespaces = [
    { names: ['clone', 'unshare'], action: 'SCMP_ACT_ERRNO', args: [userNamespace] },
    // Its flags lie in memory, where no filter can see them; every C library then takes clone.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: noSuchCall },
  ];
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: architectures[process.arch] ?? [],
    syscalls: [
      { names: refused, action: 'SCMP_ACT_ERRNO' },
      ...(capabilities.includes('CAP_SYS_ADMIN') ? [] : namespaces),
    ],
  };
}

/** The others that the same processor can run; without them their calls would go past the filter. */
const architectures: Readonly<Partial<Record<NodeJS.Architecture, string[]>>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

function wishesOf(rawArgs: Uint8Array): Wishes {
  if (rawArgs.length === 0) return { add: [], drop: [] };
  const example = 'write an object such as {"cap_add": ["NET_ADMIN"]}';
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(rawArgs).toString());
  } catch {
    throw invalid('raw_args', Buffer.from(rawArgs).toString().slice(0, 40), example);
  }
  if (!isJsonObject(json)) throw invalid('raw_args', JSON.stringify(json), example);
  const { cap_add: add = [], cap_drop: drop = [], ...rest } = json;
  const [other] = Object.keys(rest);
  if (other !== undefined) throw invalid('raw_args', other, 'of a process it may hold cap_add and cap_drop');
  return { add: namesOf('cap_add', add), drop: namesOf('cap_drop', drop) };
}

function namesOf(field: string, names: unknown): string[] {
  const wrong = `raw_args: ${field}`;
  if (!Array.isArray(names)) throw invalid(wrong, JSON.stringify(names), 'write a list such as ["NET_ADMIN"]');
  return names.map((name: unknown) => {
    const full = `CAP_${String(name).toUpperCase().replace(/^CAP_/, '')}`;
    if (full !== 'CAP_ALL' && !capabilityNames.includes(full))
      throw invalid(wrong, String(name), 'give names as of capabilities(7), or ALL');
    return full;
  });
}
