import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import type { TestHost } from '../host.suite.ts';
import { connectNetd } from './client.ts';
import type { NetworkService } from './service.ts';

/** The daemon's process: `ready` on standard output once it serves; a line N on its input kills it before the Nth effect from then on. */
const program = `
  import childProcess from 'node:child_process';
  import fs from 'node:fs/promises';
  import { syncBuiltinESMExports } from 'node:module';
  let left = Number.POSITIVE_INFINITY;
  for (const [module, names] of [[childProcess, ['spawn']], [fs, ['rename', 'rm', 'writeFile', 'mkdir']]]) {
    for (const name of names) {
      const effect = module[name];
      module[name] = (...args) => {
        if (left-- === 0) process.kill(process.pid, 'SIGKILL');
        return effect(...args);
      };
    }
  }
  syncBuiltinESMExports();
  const { openNetd, serveContainers, serveIpam, serveNetd } = await import(process.argv[1]);
  const options = JSON.parse(process.argv[2]);
  const { store, containers, ...rest } = options;
  const logger = { child: () => logger, debug() {}, info() {}, warn: (...args) => process.env.ERU_TEST_LOG && console.error(...args), error: console.error };
  const shared = store && (await (await import(process.argv[3])).openEtcdStore(store));
  const netd = await openNetd({ ...rest, logger, ...(shared && { store: shared }) });
  await serveNetd(netd, { socket: options.socket, logger });
  await serveIpam(netd, { socket: options.socket, logger });
  if (containers) await serveContainers({ netd, socket: options.socket, logger });
  console.log('ready');
  for await (const line of process.stdin) left = Number(line);
`;

export interface NetdProcessOptions {
  node?: string;
  bootId?: string;
  addresses?: string[];
  /** Serves the runtime script too. */
  containers?: boolean;
  /** Endpoints of an etcd. */
  store?: { endpoints: string[] };
}

/** A network daemon on a test host, with its state in the host's folder. */
export class NetdProcess {
  readonly service: NetworkService;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;

  static async start(host: TestHost, options: NetdProcessOptions = {}): Promise<NetdProcess> {
    const folder = path.join(host.folder, 'netd');
    const socket = path.join(host.folder, 'netd.sock');
    const all = { node: 'one', folder, socket, roundMs: 3_600_000, pluginFolders: ['/usr/lib/cni'], ...options };
    const [built, store] = ['../../dist/index.js', '../../../store/dist/index.js'].map((file) =>
      import.meta.resolve(file),
    );
    const words = host.words(
      process.execPath,
      '--input-type=module',
      '-e',
      program,
      built as string,
      JSON.stringify(all),
      store as string,
    );
    const child = spawn(...words, { stdio: ['pipe', 'pipe', 'inherit'] });
    const exit = once(child, 'exit');
    await Promise.race([
      once(child.stdout, 'data'),
      exit.then(() => Promise.reject(new Error('the daemon did not start'))),
    ]);
    return new NetdProcess(child, exit, connectNetd(socket));
  }

  private constructor(child: ChildProcess, exit: Promise<unknown>, service: NetworkService) {
    this.#child = child;
    this.#exit = exit;
    this.service = service;
    child.stdin?.on('error', () => {});
  }

  /** It dies before its effect of this number; 0 is the next one. */
  dieBefore(effect: number): void {
    this.#child.stdin?.write(`${effect}\n`);
  }

  get dead(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#exit;
  }
}
