import type { Random } from '@eru/kit';
import { run } from '@eru/kit';
import { access, constants, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { findCgroups, groupExists, makeGroup, removeGroup, type CgroupTree } from './cgroup.ts';
import { coreCount, findTool, ownCapabilities, versionOf, type Machine } from './machine.ts';
import { readBootId } from './process-identity.ts';

/** Finds out what this machine offers by trying it: a group is made, a container is run, a layer is mounted. */
export async function probe(folder: string, random: Random): Promise<Machine> {
  const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
  const cgroups = await usableCgroups(findCgroups(await readFile('/proc/self/mountinfo', 'utf8')), random);
  const found = findTool('runc', searchPath);
  const trial = found === undefined ? 'it is not installed' : await tryRunc(folder, found, random);
  const runc = trial === undefined ? found : undefined;
  const memory = cgroups.mounts.memory;
  const swapFile = cgroups.version === 1 ? 'memory.memsw.limit_in_bytes' : 'cgroup.controllers';
  const swapLimits = memory !== undefined && (await exists(path.join(memory, swapFile)));
  const { offers, missing } = await describe(cgroups, runc, trial);
  return {
    bootId: readBootId(),
    uid: process.getuid?.() ?? 0,
    cores: coreCount(),
    cgroups,
    runc,
    conmon: undefined,
    overlay: runc !== undefined,
    swapLimits,
    capabilities: ownCapabilities(),
    tools: {
      setpriv: findTool('setpriv', searchPath),
      setsid: findTool('setsid', searchPath),
      prlimit: findTool('prlimit', searchPath),
      fallocate: findTool('fallocate', searchPath),
    },
    offers,
    missing,
  };
}

async function describe(
  cgroups: CgroupTree,
  runc: string | undefined,
  trial: string | undefined,
): Promise<{ offers: string[]; missing: string[] }> {
  const offers: string[] = [];
  const missing: string[] = [];
  if (runc === undefined)
    missing.push(
      `runc cannot be used here (${trial}): processes see the whole machine; no own file system, user or network view`,
    );
  else offers.push(`runc ${await versionOf(runc)}`);
  const limits = (['cpu', 'memory', 'pids', 'cpuset'] as const).filter((name) => cgroups.mounts[name] !== undefined);
  if (limits.length > 0) offers.push(`cgroup v${cgroups.version}: ${limits.join(', ')}`);
  if (limits.length < 4) {
    const without = ['cpu', 'memory', 'pids', 'cpuset'].filter((name) => !(limits as string[]).includes(name));
    missing.push(`cgroups cannot be written for ${without.join(', ')}: these limits are not enforced`);
  }
  return { offers, missing };
}

/** Only the controllers in which this process can make a group. */
async function usableCgroups(tree: CgroupTree, random: Random): Promise<CgroupTree> {
  const mounts: CgroupTree['mounts'] = Object.fromEntries(
    (
      await Promise.all(
        Object.entries(tree.mounts).map(async ([controller, mount]) => {
          const one: CgroupTree = { version: tree.version, mounts: { [controller]: mount }, hierarchies: [mount] };
          const group = `/eru/probe-${random.hex(8)}`;
          try {
            await makeGroup(one, group);
            return groupExists(one, group) ? [[controller, mount] as const] : [];
          } catch {
            return []; // A read-only tree, or somebody else's: said in `missing`.
          } finally {
            await removeGroup(one, group).catch(() => {});
          }
        }),
      )
    ).flat(),
  );
  return { ...tree, mounts };
}

/** Undefined when a trivial container runs; else what runc said. */
async function tryRunc(folder: string, runc: string, random: Random): Promise<string | undefined> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const bundle = await mkdtemp(path.join(folder, 'probe-'));
  const id = `eru-probe-${random.hex(8)}`;
  try {
    await mkdir(path.join(bundle, 'rootfs'));
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(trivial(id)));
    const { code, stderr } = await run(runc, ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, id], {
      timeoutMs: 20_000,
    });
    return code === 0
      ? undefined
      : (stderr
          .trim()
          .split('\n')
          .at(-1)
          ?.replace(/^.*msg=/, '') ?? `exit code ${code}`);
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

function trivial(id: string): object {
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/bin/sh', '-c', 'exit 0'],
      env: ['PATH=/bin:/usr/bin'],
      cwd: '/',
    },
    root: { path: 'rootfs', readonly: true },
    mounts: [
      { destination: '/', type: 'bind', source: '/', options: ['bind', 'ro', 'rprivate'] },
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755'] },
    ],
    linux: { cgroupsPath: `/eru/${id}`, namespaces: ['pid', 'mount', 'ipc', 'uts'].map((type) => ({ type })) },
  };
}

async function exists(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}
