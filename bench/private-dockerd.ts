import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { retry, run, runOk } from '@eru/kit';

/** A dockerd and a registry on a machine of their own within this one (`tests/private-machine.sh`), with one image. */
export interface PrivateDockerd {
  endpoint: string;
  image: string;
  /** The docker command, before this daemon; answers what it prints. */
  docker(...args: string[]): Promise<string>;
  /** How many requests the daemon has got so far. */
  requests(): Promise<number>;
  /** Ends all that runs there and leaves nothing behind. */
  close(): Promise<void>;
}

const script = path.join(import.meta.dirname, '../../tests/private-machine.sh');
const cgroups = existsSync('/sys/fs/cgroup/pids') ? '/sys/fs/cgroup/pids' : '/sys/fs/cgroup';
const registryPort = 5000;

/** Undefined, with a word on stderr, where a program is missing or the user is not root. */
export async function startDockerd(): Promise<PrivateDockerd | undefined> {
  const wanted = 'command -v dockerd docker docker-registry busybox unshare nsenter >/dev/null && [ "$(id -u)" = 0 ]';
  if ((await run('sh', ['-c', wanted])).code !== 0) {
    process.stderr.write('needs root and dockerd: apt-get install -y docker.io docker-registry busybox-static\n');
    return undefined;
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
  const name = path.basename(folder);
  const holder = spawn('unshare', ['--net', '--mount', '--propagation', 'private', 'sh', script, folder, name], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  await once(holder.stdout, 'data');
  const group = path.join(cgroups, name, 'daemons');
  await mkdir(group, { recursive: true });
  const log = await open(path.join(folder, 'log'), 'a');
  const inside = ['--target', String(holder.pid), '--net', '--mount'];
  /** In its namespaces and its control group, so that it ends with the machine. */
  const daemon = (...command: string[]): void => {
    const join = `echo $$ >${group}/cgroup.procs && exec nsenter "$@"`;
    spawn('sh', ['-c', join, 'sh', ...inside, ...command], {
      stdio: ['ignore', log.fd, log.fd],
      detached: true,
    }).unref();
  };
  const at = (file: string): string => path.join(folder, file);
  const config = { version: 0.1, storage: { filesystem: { rootdirectory: at('images') } } };
  const text = JSON.stringify({ ...config, http: { addr: `127.0.0.1:${registryPort}` }, log: { level: 'error' } });
  await writeFile(at('registry.json'), text);
  daemon('docker-registry', 'serve', at('registry.json'));
  const socket = at('docker.sock');
  daemon(
    'dockerd',
    '--debug',
    `--host=unix://${socket}`,
    `--pidfile=${at('docker.pid')}`,
    `--data-root=${at('data')}`,
    `--exec-root=${at('exec')}`,
    '--exec-opt=native.cgroupdriver=cgroupfs',
    `--cgroup-parent=/${name}`,
  );
  const endpoint = `unix://${socket}`;
  const docker = async (...args: string[]): Promise<string> =>
    (await runOk('docker', ['-H', endpoint, ...args], { timeoutMs: 120_000 })).stdout.trim();
  const image = `127.0.0.1:${registryPort}/busybox:1`;
  const make =
    'mkdir -p "$1/bin" && cp "$(command -v busybox)" "$1/bin/sleep" && tar -C "$1" -c . | docker -H "$2" import - "$3"';
  await retry(() => docker('version'), { attempts: 100, baseMs: 50, maxMs: 200 });
  await runOk('sh', ['-c', make, 'sh', at('root'), endpoint, image]);
  await retry(() => docker('push', image), { attempts: 20, baseMs: 50, maxMs: 200 });
  return {
    endpoint,
    image,
    docker,
    requests: async () => (await readFile(at('log'), 'utf8')).split('Calling ').length - 1,
    close: async () => {
      const exit = once(holder, 'exit');
      holder.stdin.end();
      await exit;
      await log.close();
    },
  };
}
