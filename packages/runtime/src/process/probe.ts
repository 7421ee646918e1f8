import type { Random } from '@eru/kit';
import { readIfExists, run, runOk } from '@eru/kit';
import { access, constants, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { findCgroups, groupExists, makeGroup, removeGroup, type CgroupTree } from '../cgroups/cgroup.ts';
import { createContainer } from './conmon.ts';
import {
  coreCount,
  findTool,
  ownCapabilities,
  versionOf,
  versionText,
  type Machine,
  type RuntimeName,
} from '../cgroups/machine.ts';
import { readBootId } from './process-identity.ts';
import { plainWords } from './runc.ts';

const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Finds out what this machine offers by trying it: a group is made, a container is run under conmon and without, a layer is mounted. */
export async function probe(folder: string, random: Random, preferred: RuntimeName = 'runc'): Promise<Machine> {
  const cgroups = await usableCgroups(findCgroups(await readFile('/proc/self/mountinfo', 'utf8')), random);
  const isolation = await chooseIsolation(folder, random, preferred);
  const memory = cgroups.mounts.memory;
  const swapFile = cgroups.version === 1 ? 'memory.memsw.limit_in_bytes' : 'cgroup.controllers';
  const swapLimits = memory !== undefined && (await exists(path.join(memory, swapFile)));
  return {
    bootId: readBootId(),
    uid: process.getuid?.() ?? 0,
    cores: coreCount(),
    cgroups,
    runc: isolation.runc,
    conmon: isolation.conmon,
    overlay: isolation.overlay,
    swapLimits,
    capabilities: ownCapabilities(),
    seccomp: isolation.seccomp,
    tools: {
      setpriv: findTool('setpriv', searchPath),
      setsid: findTool('setsid', searchPath),
      prlimit: findTool('prlimit', searchPath),
      fallocate: findTool('fallocate', searchPath),
    },
    ...(await describe(cgroups, isolation)),
  };
}

interface Isolation {
  runc: string | undefined;
  conmon: string | undefined;
  overlay: boolean;
  seccomp: boolean;
  /** Why there is no runtime, or no conmon. */
  why: string;
  /** Why it is not the runtime that was wanted. */
  instead?: string;
}

/** The runtime that is wanted, or else the other one. */
async function chooseIsolation(folder: string, random: Random, preferred: RuntimeName): Promise<Isolation> {
  const found = await tryIsolation(folder, random, preferred);
  if (found.runc !== undefined) return found;
  const other = await tryIsolation(folder, random, preferred === 'runc' ? 'crun' : 'runc');
  if (other.runc === undefined) return preferred === 'runc' ? found : other;
  return { ...other, instead: `${preferred} cannot be used here (${found.why})` };
}

async function tryIsolation(folder: string, random: Random, name: RuntimeName): Promise<Isolation> {
  const runc = findTool(name, searchPath);
  const none = { runc: undefined, conmon: undefined, overlay: false, seccomp: false };
  if (runc === undefined) return { ...none, why: 'it is not installed' };
  const conmon = findTool('conmon', searchPath);
  const withConmon = conmon === undefined ? 'it is not installed' : await tryConmon(folder, conmon, runc, random);
  const withShell = withConmon === '' ? '' : await tryRunc(folder, runc, 'bind', random);
  if (withShell !== '') return { ...none, why: withShell };
  const overlay = (await tryRunc(folder, runc, 'overlay', random)) === '';
  const seccomp = /seccomp/i.test(await versionText(runc));
  return { runc, conmon: withConmon === '' ? conmon : undefined, overlay, seccomp, why: withConmon };
}

async function describe(
  cgroups: CgroupTree,
  { runc, conmon, overlay, seccomp, why, instead }: Isolation,
): Promise<{ offers: string[]; missing: string[] }> {
  const offers: string[] = [];
  const missing: string[] = [];
  if (runc === undefined)
    missing.push(
      `runc cannot be used here (${why}): processes see the whole machine, with the rights of this daemon or their user: no own file system or network, no capability and no call of the system held back`,
    );
  else offers.push(`${path.basename(runc)} ${await versionOf(runc)}`);
  if (runc !== undefined && instead !== undefined) missing.push(`${instead}: ${path.basename(runc)} is taken`);
  if (conmon !== undefined) offers.push(`conmon ${await versionOf(conmon)}`);
  if (overlay) offers.push('private layers over the root');
  if (seccomp) offers.push('seccomp');
  else if (runc !== undefined) missing.push('the runtime is built without seccomp: no call of the system is held back');
  const wanted = ['cpu', 'memory', 'pids', 'cpuset', 'io'] as const;
  const limits = wanted.filter((name) => cgroups.mounts[name] !== undefined);
  if (limits.length > 0) offers.push(`cgroup v${cgroups.version}: ${limits.join(', ')}`);
  if (limits.length < wanted.length) {
    const without = wanted.filter((name) => !limits.includes(name));
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

/** Empty when a trivial container runs; else what was said. */
async function tryRunc(folder: string, runc: string, root: 'bind' | 'overlay', random: Random): Promise<string> {
  return inBundle(folder, root, random, async (bundle, id) => {
    const words = ['--root', path.join(bundle, 'state'), 'run', '--bundle', bundle, id];
    const { code, stderr } = await run(runc, words, { timeoutMs: 20_000 });
    return code === 0 ? '' : plainWords(stderr.trim().split('\n').at(-1) ?? `exit code ${code}`);
  });
}

/** The same under conmon, with its log and its exit code where we want them. */
async function tryConmon(folder: string, conmon: string, runc: string, random: Random): Promise<string> {
  return inBundle(folder, 'bind', random, async (bundle, id) => {
    const at = (name: string): string => path.join(bundle, name);
    const runcRoot = at('state');
    await mkdir(at('exits'));
    try {
      const files = { pidFile: at('pid'), supervisorFile: at('supervisor'), exitFolder: at('exits'), log: at('log') };
      await createContainer({ conmon, runc, runcRoot, id, name: id, bundle, ...files });
      await runOk(runc, ['--root', runcRoot, 'start', id]);
      for (let waited = 0; waited < 5000 && !(await exists(at(`exits/${id}`))); waited += 2) await sleep(2);
      const [code, log] = [await readIfExists(at(`exits/${id}`)), await readIfExists(at('log'))];
      return code?.trim() === '0' && log?.includes(' stdout F eru\n') === true ? '' : 'it kept no exit code or no log';
    } finally {
      await run(runc, ['--root', runcRoot, 'delete', '--force', id]);
    }
  });
}

async function inBundle(
  folder: string,
  root: 'bind' | 'overlay',
  random: Random,
  attempt: (bundle: string, id: string) => Promise<string>,
): Promise<string> {
  const bundle = await mkdtemp(path.join(folder, 'trial-'));
  const id = `eru-probe-${random.hex(8)}`;
  try {
    for (const name of ['rootfs', 'upper', 'work']) await mkdir(path.join(bundle, name));
    await writeFile(path.join(bundle, 'config.json'), JSON.stringify(trivial(id, bundle, root)));
    return await attempt(bundle, id);
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(bundle, { recursive: true, force: true });
  }
}

function trivial(id: string, bundle: string, root: 'bind' | 'overlay'): object {
  const layer = [`lowerdir=/`, `upperdir=${bundle}/upper`, `workdir=${bundle}/work`];
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/bin/sh', '-c', 'echo eru'],
      env: ['PATH=/bin:/usr/bin'],
      cwd: '/',
    },
    root: { path: 'rootfs', readonly: root === 'bind' },
    mounts: [
      root === 'bind'
        ? { destination: '/', type: 'bind', source: '/', options: ['bind', 'ro', 'rprivate'] }
        : { destination: '/', type: 'overlay', source: 'overlay', options: layer },
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
