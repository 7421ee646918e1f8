import { mkdir, readdir, readlink, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { isErrno, run, runOk } from '@eru/kit';

/**
 * Network namespaces with a name: a file that the namespace is mounted on keeps it alive without a process in it, and
 * plugins and runtimes are given its path.
 */
export class Namespaces {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  path(id: string): string {
    return path.join(this.folder, id);
  }

  /** A new namespace with its loopback up. Answers its inode number, by which its processes are known. */
  async make(id: string): Promise<string> {
    await mkdir(this.folder, { recursive: true, mode: 0o755 });
    const file = this.path(id);
    await this.remove(id);
    await writeFile(file, '', { flag: 'wx' });
    await runOk('unshare', [`--net=${file}`, 'ip', 'link', 'set', 'lo', 'up']);
    return String((await stat(file)).ino);
  }

  /** An interface that leads nowhere. */
  async furnish(id: string, ifname: string, addresses: readonly string[]): Promise<void> {
    const inside = (...words: string[]): Promise<unknown> =>
      runOk('nsenter', [`--net=${this.path(id)}`, 'ip', ...words]);
    await inside('link', 'add', ifname, 'type', 'veth', 'peer', 'name', 'eru-nowhere');
    for (const address of addresses) await inside('address', 'add', address, 'dev', ifname);
  }

  /**
   * Takes IPv6 into use again, with these addresses and routes: whoever switches it off takes them away. An address `throughGateway`
   * has no neighbours but its gateway.
   */
  async restoreIpv6(
    id: string,
    ifname: string,
    addresses: readonly { address: string; throughGateway?: string }[],
    routes: readonly { dst: string; gateway: string }[],
  ): Promise<void> {
    const ip = (...words: string[]): string => ['ip', '-6', ...words, 'dev', ifname].join(' ');
    const lines = [
      'echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6',
      ...addresses.flatMap(({ address, throughGateway: gateway }) =>
        gateway === undefined
          ? [`${ip('address', 'replace', address)} nodad`]
          : [
              `${ip('address', 'replace', address)} nodad noprefixroute`,
              ip('route', 'replace', gateway),
              ip('route', 'replace', address, 'via', gateway), // the kernel takes its network
            ],
      ),
      ...routes.map(({ dst, gateway }) => ip('route', 'replace', dst, 'via', gateway)),
    ];
    await runOk('nsenter', [`--net=${this.path(id)}`, 'sh', '-ec', lines.join('\n')]);
  }

  /** The inode number of a namespace; undefined when there is none on this name. */
  async inode(id: string): Promise<string | undefined> {
    try {
      const [file, own] = await Promise.all([stat(this.path(id)), stat('/proc/self/ns/net')]);
      return file.dev === own.dev ? String(file.ino) : undefined;
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /** Processes in it keep it; new ones cannot come in by this name. */
  async remove(id: string): Promise<void> {
    const file = this.path(id);
    while ((await this.inode(id)) !== undefined) await runOk('umount', ['--lazy', file]);
    await rm(file, { force: true });
  }

  /** All names, mounted or not. */
  async list(): Promise<string[]> {
    try {
      return (await readdir(this.folder)).toSorted();
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** A process that lives in the namespace of this inode number, however it came in. */
  async processIn(inode: string): Promise<number | undefined> {
    for (const name of await readdir('/proc')) {
      if (!/^\d+$/.test(name)) continue;
      const link = await readlink(`/proc/${name}/ns/net`).catch(() => ''); // It may have ended meanwhile.
      if (link === `net:[${inode}]`) return Number(name);
    }
    return undefined;
  }

  /** Gives a living namespace a name. Answers its inode number. */
  async adopt(id: string, pid: number): Promise<string> {
    await mkdir(this.folder, { recursive: true, mode: 0o755 });
    await this.remove(id);
    await writeFile(this.path(id), '', { flag: 'wx' });
    await runOk('mount', ['--bind', `/proc/${pid}/ns/net`, this.path(id)]);
    return String((await stat(this.path(id))).ino);
  }

  /** Addresses on an interface, as the kernel has them; undefined when there is no such interface. */
  async addresses(id: string, ifname: string): Promise<{ ips: string[]; mac: string } | undefined> {
    const { code, stdout } = await run('nsenter', [
      `--net=${this.path(id)}`,
      'ip',
      '-json',
      'address',
      'show',
      'dev',
      ifname,
    ]);
    if (code !== 0) return undefined;
    type Shown = { address: string; addr_info: { scope: string; local: string }[] }[];
    const [shown] = JSON.parse(stdout) as Shown;
    if (shown === undefined) return undefined;
    return {
      mac: shown.address,
      ips: shown.addr_info.filter(({ scope }) => scope === 'global').map(({ local }) => local),
    };
  }
}
