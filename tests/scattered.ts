import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connectCore, type Core } from '@eru/client';
import { connectEngine, type Engine } from '@eru/engines';
import { EruError, retry, run, type RunResult } from '@eru/kit';

import { patience } from './apart.ts';
import { command } from './eru.ts';
import { Network } from './network.ts';

const cores = ['core0', 'core1'] as const;
const nodes = ['node0', 'node1'] as const;
const corePort = 5001;
const heartbeatS = '3';
/** What `eru` ends with when something that it needs is not there. */
const unavailable = 5;

/**
 * A cluster over several network namespaces: etcd, two cores, two nodes with a node daemon and an agent each, every daemon a process
 * of its own. The nodes have joined with a token: all that goes between them and cores is TCP under mutual TLS. Each daemon
 * writes to `<daemon>.log` in a folder in /tmp, where each machine has its data folder as well.
 */
export class Scattered {
  /** How the names of their folders begin. */
  static readonly folders = 'eru-scattered-';
  readonly folder: string;
  readonly network: Network;
  readonly cores = cores;
  readonly nodes = nodes;
  /** Of every daemon, how it is started. */
  readonly #daemons = new Map<string, Daemon>();
  readonly #children = new Map<string, ChildProcess>();
  readonly #frozen = new Set<string>();

  /** Everything serves, and both nodes are up in the pod `default`. */
  static async start(): Promise<Scattered> {
    const folder = await mkdtemp(path.join(tmpdir(), Scattered.folders));
    const network = await Network.create(['etcd', ...cores, ...nodes]);
    const cluster = new Scattered(folder, network);
    try {
      for (const member of [...cores, ...nodes]) await mkdir(path.join(folder, member));
      for (const daemon of cluster.#daemons.keys()) cluster.spawn(daemon);
      await cluster.#join();
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  private constructor(folder: string, network: Network) {
    this.folder = folder;
    this.network = network;
    const url = `http://${network.address('etcd')}:2379`;
    const urls = ['--listen-client-urls', url, '--advertise-client-urls', url, '--log-level', 'error'];
    this.#daemons.set('etcd', {
      member: 'etcd',
      words: ['etcd', '--data-dir', path.join(folder, 'etcd'), ...urls],
    });
    const store = ['--store', `etcd://${network.address('etcd')}:2379`];
    for (const core of cores) this.#add(core, core, ['core', '--no-auth', '--listen', this.#address(core), ...store]);
    const ends = cores.flatMap((core) => [this.#relay(core), network.address(core), String(corePort)]);
    this.#daemons.set(relays, { member: 'bridge', words: [process.execPath, '-e', relay, ...ends] });
  }

  get daemons(): string[] {
    return [...this.#daemons.keys()].filter((daemon) => daemon !== relays);
  }

  spawn(daemon: string): void {
    const { member, words } = this.#daemons.get(daemon) as Daemon;
    const file = path.join(this.folder, `${daemon.replaceAll(' ', '-')}.log`);
    const log = openSync(file, 'a');
    const { size } = fstatSync(log);
    const child = this.network.spawn(words, { member, stdio: ['ignore', log, log] });
    closeSync(log);
    this.#children.set(daemon, child);
    // A core that loses etcd before it serves says so and ends; whatever supervises it starts it again.
    child.once('exit', (code) => {
      if (code !== unavailable || this.#children.get(daemon) !== child) return;
      const core = (cores as readonly string[]).includes(daemon);
      if (core && !readFileSync(file).subarray(size).includes('core serves')) this.spawn(daemon);
    });
  }

  async kill(daemon: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#children.get(daemon);
    if (child === undefined) return;
    this.#children.delete(daemon);
    this.#frozen.delete(daemon);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  /** Daemons that have ended by themselves. */
  get fallen(): string[] {
    return [...this.#children]
      .filter(([, { exitCode, signalCode }]) => exitCode !== null || signalCode !== null)
      .map(([daemon, { exitCode, signalCode }]) => `${daemon} has ended (${exitCode ?? signalCode})`);
  }

  freeze(daemon: string): void {
    this.#children.get(daemon)?.kill('SIGSTOP');
  }

  thaw(daemon: string): void {
    this.#children.get(daemon)?.kill('SIGCONT');
  }

  /** A client of all cores, or of one. */
  connect(only: readonly string[] = cores): Core {
    return connectCore({ addresses: only.map((core) => `unix://${this.#relay(core)}`) });
  }

  engine(node: string): Engine & { close(): Promise<void> } {
    return connectEngine({ address: `unix://${path.join(this.folder, node, 'runtime.sock')}` });
  }

  /** The command, as a user beside the bridge has it. */
  eru(args: readonly string[], core = 'core0'): Promise<RunResult> {
    const words = [process.execPath, command, ...args, '--eru', this.#address(core)];
    const [program = '', ...rest] = this.network.words(words);
    return run(program, rest, { timeoutMs: 120_000, env: { ...process.env, NO_COLOR: '1' } });
  }

  /** Both cores answer, and hear of both nodes. */
  async ready(): Promise<void> {
    for (const core of cores) {
      const client = this.connect([core]);
      try {
        await retry(async () => {
          const up: string[] = [];
          for await (const { name, available } of client.core.listPodNodes({ podname: 'default', all: true }))
            if (available) up.push(name);
          if (up.length < nodes.length)
            throw new EruError('unavailable', `${core} hears only of ${up.join(', ') || 'nobody'}`);
        }, patience);
      } finally {
        client.close();
      }
    }
  }

  /** Ends everything; what runs below a node daemon runs on. The logs may stay. */
  async close({ keep = false } = {}): Promise<void> {
    for (const daemon of [...this.#children.keys()].toReversed()) {
      this.thaw(daemon);
      await this.kill(daemon, daemon === relays ? 'SIGKILL' : 'SIGTERM');
    }
    await this.network.close();
    if (!keep) await rm(this.folder, { recursive: true, force: true });
  }

  /** With a token for each machine, made by one core; each joins at another one first. */
  async #join(): Promise<void> {
    const client = this.connect(['core0']);
    try {
      await retry(() => client.core.addPod({ name: 'default' }), patience);
      for (const [index, node] of nodes.entries()) {
        const { token } = await retry(() => client.eru.createNodeToken({ node, pod: 'default' }), patience);
        const all = [...cores.slice(index), ...cores.slice(0, index)].map((core) => this.#address(core)).join(',');
        // The same again is no new start: it has joined with this token.
        this.#add(`runtime of ${node}`, node, ['runtime', '--docker', 'none', '--join', token, all]);
        this.spawn(`runtime of ${node}`);
        await retry(() => client.core.getNode({ nodename: node }), patience);
        this.#add(`agent of ${node}`, node, ['agent', '--heartbeat', heartbeatS]);
        this.spawn(`agent of ${node}`);
      }
    } finally {
      client.close();
    }
    await this.ready();
  }

  #add(daemon: string, member: string, words: readonly string[]): void {
    const data = ['--data', path.join(this.folder, member)];
    this.#daemons.set(daemon, { member, words: [process.execPath, command, ...words, ...data] });
  }

  #address(core: string): string {
    return `${this.network.address(core)}:${corePort}`;
  }

  /** Socket by which this process, which is outside of the network, reaches a core. */
  #relay(core: string): string {
    return path.join(this.folder, `${core}.sock`);
  }
}

interface Daemon {
  member: string;
  words: string[];
}

const relays = 'relays';

/** Arguments: socket, host, port, and again. Each connection to the socket goes on to the host. */
const relay = `
  const net = require('node:net');
  for (let at = 1; at < process.argv.length; at += 3) {
    const [socket, host, port] = process.argv.slice(at);
    net.createServer((from) => {
      const to = net.connect(port, host);
      from.pipe(to).pipe(from);
      for (const end of [from, to]) end.on('error', () => {}).on('close', () => (from.destroy(), to.destroy()));
    }).listen(socket);
  }`;
