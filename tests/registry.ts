import { retry } from '@eru/kit';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A real image registry at an address of this machine, with its own data folder; with an account, one must log in. */
export class Registry {
  /** `host:port`, the first part of its images' names. */
  readonly name: string;
  readonly #folder: string;
  readonly #child: ChildProcess;

  /** `htpasswd`: a line of a password file, bcrypt. */
  static async start(host = '127.0.0.1', htpasswd = ''): Promise<Registry> {
    const folder = await mkdtemp(path.join(tmpdir(), 'eru-registry-'));
    const port = await freePort(host);
    const config = path.join(folder, 'config.json');
    await writeFile(path.join(folder, 'htpasswd'), htpasswd);
    const auth = { htpasswd: { realm: 'eru', path: path.join(folder, 'htpasswd') } };
    await writeFile(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'error', accesslog: { disabled: true } },
        storage: { filesystem: { rootdirectory: path.join(folder, 'data') }, delete: { enabled: true } },
        http: { addr: `${host}:${port}` },
        ...(htpasswd !== '' && { auth }),
      }),
    );
    const child = spawn('docker-registry', ['serve', config], { stdio: 'ignore', env: { PATH: process.env['PATH'] } });
    const registry = new Registry(`${host}:${port}`, folder, child);
    try {
      await retry(() => connect(host, port), { attempts: 100, baseMs: 50, maxMs: 200 });
      return registry;
    } catch (error) {
      await registry.remove();
      throw error;
    }
  }

  private constructor(name: string, folder: string, child: ChildProcess) {
    this.name = name;
    this.#folder = folder;
    this.#child = child;
  }

  async remove(): Promise<void> {
    const child = this.#child;
    if (child.exitCode === null && child.signalCode === null) {
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function connect(host: string, port: number): Promise<void> {
  const socket = net.connect(port, host);
  await once(socket, 'connect');
  socket.destroy();
}

async function freePort(host: string): Promise<number> {
  const server = net.createServer().listen(0, host);
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  server.close();
  return port;
}
