import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readlink } from 'node:fs/promises';

import { childEnvironment, retry, runOk } from '@eru/kit';

/** How packets between two members end: without a word, or with a refusal of the sender's own firewall. */
export type Silence = 'drop' | 'reject';

/**
 * Network namespaces around a bridge in one more of them: `10.0.0.1`, `10.0.0.2` and so on, with a firewall each. This machine's own
 * namespace has no part in it. Each namespace lives as long as its keeper, a process that ends with the test.
 */
export class Network {
  readonly #keepers = new Map<string, ChildProcess>();
  readonly #addresses = new Map<string, string>();

  static async create(members: readonly string[]): Promise<Network> {
    const network = new Network();
    try {
      await network.#keep(bridge);
      await network.#run(bridge, ['ip', 'link', 'add', 'br0', 'type', 'bridge']);
      await network.#run(bridge, ['ip', 'addr', 'add', `${subnet}.254/24`, 'dev', 'br0']);
      await network.#run(bridge, ['ip', 'link', 'set', 'br0', 'up']);
      for (const [index, member] of members.entries()) await network.#join(member, index);
      return network;
    } catch (error) {
      await network.close();
      throw error;
    }
  }

  address(member: string): string {
    const address = this.#addresses.get(member);
    if (address === undefined) throw new Error(`${member} is not in the network`);
    return address;
  }

  /** A program in the namespace of a member, by default beside the bridge, from where all of them are reached. */
  spawn(words: readonly string[], { member = bridge, stdio }: { member?: string; stdio: StdioOptions }): ChildProcess {
    const [program = '', ...args] = this.words(words, member);
    return spawn(program, args, { stdio, env: childEnvironment() });
  }

  /** What to call in order to run `words` there. */
  words(words: readonly string[], member = bridge): string[] {
    return ['nsenter', `--net=/proc/${this.#keepers.get(member)?.pid}/ns/net`, ...words];
  }

  /** Nothing goes between the two until it is mended. */
  async part(member: string, other: string, silence: Silence): Promise<void> {
    const address = this.address(other);
    const verdict = silence === 'drop' ? ['DROP'] : ['REJECT', '--reject-with', 'tcp-reset'];
    await this.#iptables(member, ['-A', 'INPUT', '-s', address, '-j', 'DROP']);
    await this.#iptables(member, ['-A', 'OUTPUT', '-p', 'tcp', '-d', address, '-j', ...verdict]);
  }

  /** Everything reaches this member again. */
  async mend(member: string): Promise<void> {
    await this.#iptables(member, ['-F']);
  }

  /** As the kernel names them, `net:[4026532000]`. */
  async namespaces(): Promise<string[]> {
    return Promise.all([...this.#keepers.values()].map(({ pid }) => readlink(`/proc/${pid}/ns/net`)));
  }

  async close(): Promise<void> {
    for (const keeper of this.#keepers.values()) {
      const exit = once(keeper, 'exit');
      keeper.stdin?.end();
      await exit;
    }
    this.#keepers.clear();
  }

  async #join(member: string, index: number): Promise<void> {
    const keeper = await this.#keep(member);
    const address = `${subnet}.${index + 1}`;
    this.#addresses.set(member, address);
    const peer = ['peer', 'name', 'eth0', 'netns', String(keeper.pid)];
    await this.#run(bridge, ['ip', 'link', 'add', `v${index}`, 'type', 'veth', ...peer]);
    await this.#run(bridge, ['ip', 'link', 'set', `v${index}`, 'master', 'br0', 'up']);
    await this.#run(member, ['ip', 'addr', 'add', `${address}/24`, 'dev', 'eth0']);
    await this.#run(member, ['ip', 'link', 'set', 'eth0', 'up']);
  }

  /** `cat` ends when its input does: with this process at the latest. */
  async #keep(member: string): Promise<ChildProcess> {
    const keeper = spawn('unshare', ['--net', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
    this.#keepers.set(member, keeper);
    const own = await readlink('/proc/self/ns/net');
    await retry(
      async () => {
        if ((await readlink(`/proc/${keeper.pid}/ns/net`)) === own) throw new Error('still in our own namespace');
      },
      { attempts: 200, baseMs: 5, maxMs: 20 },
    );
    await this.#run(member, ['ip', 'link', 'set', 'lo', 'up']);
    return keeper;
  }

  async #iptables(member: string, words: readonly string[]): Promise<void> {
    await this.#run(member, ['iptables', '-w', ...words]);
  }

  async #run(member: string, words: readonly string[]): Promise<void> {
    const [program = '', ...args] = this.words(words, member);
    await runOk(program, args);
  }
}

const bridge = 'bridge';
const subnet = '10.0.0';
