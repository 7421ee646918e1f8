import type { ExecSpec, WorkloadSpec } from '@eru/engines';
import path from 'node:path';

import type { WantedLimits } from '../cgroups/limits.ts';
import type { Machine } from '../cgroups/machine.ts';
import { portVariable } from './ports.ts';
import type { AttachedNetwork } from '../networks/workload-networks.ts';
import { resolveUser } from './user.ts';
import type { WorkloadFolder, WorkloadRecord } from '../workload/workload-folder.ts';

/** One workload on this machine: what launchers and supervisors need to find what is theirs. */
export interface Place {
  machine: Machine;
  folder: WorkloadFolder;
  record: WorkloadRecord;
  /** State folder of runc. */
  runcRoot: string;
  /** Folders that no workload may see. */
  hidden: readonly string[];
  /** Of the present run; absent on the host's network, and in an empty namespace. */
  network?: AttachedNetwork | undefined;
}

/** A program with its arguments, ready to be spawned. */
export interface Command {
  words: string[];
  env: NodeJS.ProcessEnv;
}

/** What a command is run in: a container of runc, or nothing but its cgroup. */
export interface Launcher {
  readonly kind: 'runc' | 'plain';
  /** Makes what a run needs. The command answered runs it to its end, and writes its pid to `pidFile` before it begins. */
  prepare(place: Place, limits: WantedLimits): Promise<Command>;
  /** One more command beside the running one. */
  exec(place: Place, spec: ExecSpec): Promise<Command>;
  /** Removes what an ended or half-started run has left; nothing there is fine. */
  clear(place: Place): Promise<void>;
}

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Host pid of the main process, once there is one. */
export function pidFile(folder: WorkloadFolder): string {
  return path.join(folder.run, 'pid');
}

/** What the command gets: the defaults, the request's own, its ports. */
export function environmentOf({ spec, ports }: WorkloadRecord): string[] {
  const { home } = resolveUser(spec.user, rootOf(spec));
  const variables = [
    `PATH=${defaultPath}`,
    `HOME=${home}`,
    ...spec.env,
    ...Object.entries(ports).map(([name, port]) => `${portVariable(name)}=${port}`),
  ];
  return distinct(variables);
}

/** Of two with one name the later one counts; programs would take the first. */
export function distinct(variables: readonly string[]): string[] {
  return [...new Map(variables.map((variable) => [variable.split('=', 1)[0], variable])).values()];
}

export function rootOf(spec: WorkloadSpec): string {
  return spec.root.type === 'folder' ? spec.root.path : '/';
}
