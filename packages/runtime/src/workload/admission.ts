import type { EngineParams, Limits, WorkloadSpec } from '@eru/engines';
import { bindsOf, checkEngine, fieldsOf } from '@eru/engines';
import { EruError, invalid } from '@eru/kit';
import { existsSync, statSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { diskNumber } from '../cgroups/block-device.ts';
import { capabilitiesOf, wishesCapabilities } from '../process/confinement.ts';
import { findProgram } from '../process/host-view.ts';
import { defaultPath, rootOf } from '../process/launcher.ts';
import { rlimitsOf } from '../process/rlimits.ts';
import { shownLimits, wantedLimits, type WantedLimits } from '../cgroups/limits.ts';
import { readLogLimits } from '../logs/log-limits.ts';
import type { Machine } from '../cgroups/machine.ts';
import { checkNetworks, networkPlace } from '../networks/network-wishes.ts';
import { parseSignal } from '../process/signals.ts';
import { resolveUser } from '../process/user.ts';

/** Refuses, before anything is made, everything that this machine cannot do or cannot enforce: `invalid` or `unsupported`. */
export function checkSpec(spec: WorkloadSpec, machine: Machine, hasNetworks: boolean): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(spec.name))
    throw invalid('name', spec.name, 'begin with a letter or digit; letters, digits, _ . - may follow');
  checkEngine(spec, 'process');
  if (spec.image !== '')
    throw new EruError(
      'unsupported',
      `image: this node runs processes and has no images; leave image ${JSON.stringify(spec.image)} out and give commands`,
    );
  if (spec.command.length === 0) throw invalid('commands', '', 'a process needs a command');
  checkNetworks(spec);
  if (networkPlace(spec) === 'networks' && !hasNetworks)
    throw new EruError(
      'unsupported',
      `networks: ${Object.keys(spec.networks).join(', ')} cannot be had: this node daemon runs without networks; processes have host, none or the path of a namespace here`,
    );
  if (spec.stopSignal !== '') parseSignal(spec.stopSignal, 'stop_signal');
  const nameless = spec.env.find((variable) => !/^[^=\0]+=[^\0]*$/s.test(variable));
  if (nameless !== undefined) throw invalid('env', nameless, 'write NAME=value');
  checkPorts(spec.publish);
  checkFiles(spec);
  resolveUser(spec.user, rootOf(spec));
  rlimitsOf(spec);
  checkNames(spec);
  checkSysctls(spec);
  readLogLimits(spec.log);
  capabilitiesOf(spec, machine.capabilities);
  if (machine.runc === undefined) checkPlain(spec, machine);
  else if (spec.root.type === 'host' && spec.root.writable && !machine.overlay)
    throw new EruError(
      'unsupported',
      'root: this machine cannot lay a private layer over its root (no overlay file system)',
    );
}

/** Whether this root is a file: a tar of what the workload has as its root. */
export function isArchive(root: WorkloadSpec['root']): root is Extract<WorkloadSpec['root'], { type: 'folder' }> {
  return root.type === 'folder' && statSync(root.path, { throwIfNoEntry: false })?.isFile() === true;
}

/** Before it is unpacked. */
export function checkArchive({ runc, overlay }: Machine): void {
  if (runc === undefined || !overlay)
    throw new EruError(
      'unsupported',
      'root: an archive needs runc and the overlay file system, which cannot be used on this node',
    );
}

/** The limits asked for. `refuse`: what this machine cannot enforce is `unsupported`, not only shown as not effective. */
export function checkLimits(
  spec: WorkloadSpec,
  engineParams: EngineParams,
  { cores, cgroups }: Machine,
  refuse: boolean,
): WantedLimits {
  const { limits, beyond } = wantedLimits(engineParams, spec.pids);
  if (beyond.length > 0) throw new EruError('unsupported', `${beyond.join(', ')} cannot be enforced for processes`);
  if (fieldsOf(engineParams)['volume_changed'] === true)
    throw new EruError('unsupported', 'volumes: those of a process cannot be changed; replace it');
  if (limits.cpuset?.some((core) => core >= cores) === true)
    throw invalid('cpuset', limits.cpuset.join(','), `this node has cores 0 to ${cores - 1}`);
  for (const { device } of limits.io ?? []) diskNumber(device);
  const missing = (Object.keys(shownLimits(limits)) as (keyof Limits)[]).filter(
    (limit) => cgroups.mounts[controllerOf[limit]] === undefined,
  );
  if (missing.length > 0 && refuse)
    throw new EruError(
      'unsupported',
      `${missing.join(', ')} cannot be limited on this node: its cgroups cannot be written`,
    );
  return limits;
}

const controllerOf: Readonly<Record<keyof Limits, 'cpu' | 'memory' | 'pids' | 'cpuset' | 'io'>> = {
  cpu: 'cpu',
  memoryBytes: 'memory',
  pids: 'pids',
  cpuset: 'cpuset',
  memoryNodes: 'cpuset',
  io: 'io',
};

function checkPorts(publish: readonly string[]): void {
  for (const entry of publish) {
    const port = Number(entry);
    if (/^\d+$/.test(entry) ? port < 1 || port > 65_535 : !/^[a-z][a-z0-9_-]{0,31}$/i.test(entry))
      throw invalid('publish', entry, 'give a port from 1 to 65535, or a name such as http for a free one');
  }
}

function checkFiles(spec: WorkloadSpec): void {
  const root = rootOf(spec);
  if (!existsSync(root)) throw invalid('root', root, 'there is no such folder or tar file on the node');
  if (spec.dir !== '' && !path.isAbsolute(spec.dir)) throw invalid('dir', spec.dir, 'give an absolute path');
  const [program = ''] = spec.command;
  if (findProgram(program, defaultPath, spec.dir, root) === undefined) {
    throw invalid(
      'commands',
      program,
      `there is no such program on the node (looked in ${program.includes('/') ? root : defaultPath})`,
    );
  }
  for (const { source, mode } of bindsOf(spec)) {
    if (!existsSync(source)) throw invalid('mounts', source, 'there is no such file or folder on the node');
    if (mode !== 'rw' && mode !== 'ro') throw invalid('volumes', mode, 'the flags of a volume are rw, ro, rwm');
  }
}

/** What goes into resolv.conf and hosts. */
function checkNames({ dns, extraHosts }: WorkloadSpec): void {
  const server = dns.find((address) => net.isIP(address) === 0);
  if (server !== undefined) throw invalid('dns', server, 'give the address of a name server');
  const host = extraHosts.find((entry) => net.isIP(entry.replace(/^[^:\s]+:/, '')) === 0);
  if (host !== undefined) throw invalid('extra_hosts', host, 'write host:address');
}

/** Only what belongs to a namespace of its own: anything else would change the machine. */
function checkSysctls(spec: WorkloadSpec): void {
  const place = networkPlace(spec);
  const ownNetwork = place === 'none' || place === 'networks';
  for (const name of Object.keys(spec.sysctls)) {
    const own = /^(kernel\.(msg|sem|shm)|fs\.mqueue\.)/.test(name) || (ownNetwork && name.startsWith('net.'));
    if (!own)
      throw new EruError(
        'unsupported',
        `sysctls: ${name} is not of a namespace of its own here; set it on the machine`,
      );
  }
}

/** What needs namespaces. */
function checkPlain(spec: WorkloadSpec, machine: Machine): void {
  const wanted = Object.entries({
    root: spec.root.type === 'folder' || spec.root.writable,
    'network none': 'none' in spec.networks,
    'mounts or volumes': bindsOf(spec).length > 0,
    dns: spec.dns.length > 0,
    extra_hosts: spec.extraHosts.length > 0,
    sysctls: Object.keys(spec.sysctls).length > 0,
    'cap_add or cap_drop': wishesCapabilities(spec),
  }).flatMap(([name, is]) => (is ? [name] : []));
  if (wanted.length > 0)
    throw new EruError('unsupported', `${wanted.join(', ')}: needs runc, which cannot be used on this node`);
  const place = networkPlace(spec);
  if ((place === 'networks' || place === 'path') && machine.uid !== 0)
    throw new EruError('unsupported', 'networks: only root can start a process in another network namespace');
  if (Object.keys(spec.ulimits).length > 0 && machine.tools.prlimit === undefined)
    throw new EruError('unsupported', 'ulimits: need runc or prlimit, and neither can be used on this node');
  if (
    spec.user !== '' &&
    resolveUser(spec.user, '/').uid !== machine.uid &&
    (machine.uid !== 0 || machine.tools.setpriv === undefined)
  )
    throw new EruError(
      'unsupported',
      `user: ${spec.user} cannot be had here; this daemon runs as user ${machine.uid}, without runc`,
    );
}
