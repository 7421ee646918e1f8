import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { childEnvironment, run, runOk, type RunResult } from '@eru/kit';

import { command } from './eru.ts';

/** A machine of its own as far as the network goes: a name space, a data folder, and daemons of the built command in it. */
export class Machine {
  readonly name: string;
  readonly data: string;
  /** Others reach it here. */
  readonly address: string;
  readonly #namespace: string;
  readonly #children = new Map<string, ChildProcess>();

  constructor(options: { name: string; data: string; address: string; namespace: string }) {
    this.name = options.name;
    this.data = options.data;
    this.address = options.address;
    this.#namespace = options.namespace;
  }

  /** A command to its end. */
  run(args: readonly string[]): Promise<RunResult> {
    const [program, ...words] = this.#inside([...args]);
    return run(program, words, { timeoutMs: 60_000, env: { ...process.env, NO_COLOR: '1' } });
  }

  /** The same; an exit code other than 0 is an error with what was said. Answers standard output. */
  async ok(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(args);
    if (code !== 0) throw new Error(`eru ${args.join(' ')} on ${this.name}: ${code}: ${stderr}`);
    return stdout;
  }

  /** A daemon; it writes to `<part>.log` in the data folder. */
  start(part: string, ...args: string[]): void {
    const log = openSync(this.logFile(part), 'a');
    const [program, ...words] = this.#inside([part, ...args]);
    const child = spawn(program, words, { stdio: ['ignore', log, log], env: childEnvironment() });
    closeSync(log);
    this.#children.set(part, child);
  }

  logFile(part: string): string {
    return path.join(this.data, `${part}.log`);
  }

  log(part: string): Promise<string> {
    return readFile(this.logFile(part), 'utf8');
  }

  async kill(part: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#children.get(part);
    this.#children.delete(part);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }

  async stop(): Promise<void> {
    for (const part of this.#children.keys()) await this.kill(part, 'SIGTERM');
  }

  /** Nothing but the network is another one: `ip netns exec` would hide the cgroups. */
  #inside(args: string[]): [string, ...string[]] {
    return ['nsenter', `--net=/run/netns/${this.#namespace}`, process.execPath, command, '--data', this.data, ...args];
  }
}

/** A machine for core and others around it, each joined to the first by a cable of its own. */
export class Machines {
  readonly core: Machine;
  readonly nodes: readonly Machine[];
  readonly #folder: string;
  readonly #namespaces: readonly string[];

  static async create(names: readonly string[]): Promise<Machines> {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-whole-'));
    const namespaces = ['core', ...names].map((name) => `eru-${process.pid}-${name}`);
    const made = new Machines(folder, namespaces, names);
    try {
      await connect(namespaces);
      return made;
    } catch (error) {
      await made.close();
      throw error;
    }
  }

  private constructor(folder: string, namespaces: readonly string[], names: readonly string[]) {
    this.#folder = folder;
    this.#namespaces = namespaces;
    const machine = (name: string, index: number): Machine =>
      new Machine({
        name,
        data: path.join(folder, name),
        address: index === 0 ? '127.0.0.1' : `10.77.${index}.2`,
        namespace: namespaces[index] ?? '',
      });
    this.core = machine('core', 0);
    this.nodes = names.map((name, index) => machine(name, index + 1));
  }

  /** How a node's machine calls core. */
  coreAt(node: Machine): string {
    return `10.77.${this.nodes.indexOf(node) + 1}.1:5001`;
  }

  async close(): Promise<void> {
    for (const machine of [...this.nodes, this.core]) await machine.stop();
    for (const namespace of this.#namespaces) await run('ip', ['netns', 'delete', namespace]);
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function connect(namespaces: readonly string[]): Promise<void> {
  const ip = (words: string): Promise<unknown> => runOk('ip', words.split(' '));
  for (const namespace of namespaces) {
    await ip(`netns add ${namespace}`);
    await ip(`-n ${namespace} link set lo up`);
  }
  const [center = ''] = namespaces;
  for (const [index, namespace] of namespaces.entries()) {
    if (index === 0) continue;
    await ip(`-n ${center} link add to${index} type veth peer name cable netns ${namespace}`);
    await ip(`-n ${center} address add 10.77.${index}.1/24 dev to${index}`);
    await ip(`-n ${namespace} address add 10.77.${index}.2/24 dev cable`);
    await ip(`-n ${center} link set to${index} up`);
    await ip(`-n ${namespace} link set cable up`);
  }
}
