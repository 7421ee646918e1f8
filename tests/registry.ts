import { retry } from '@eru/kit';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import net from 'node:net';
import path from 'node:path';

import type { PrivateMachine } from './private-machine.ts';

const port = 5000;

/**
 * A real image registry on a private machine, gone with it. `htpasswd`: a line of a password file, bcrypt; with one, clients
 * must log in. Answers its `host:port`, the first part of its images' names, by which it is reached from inside and outside.
 */
export async function startRegistry(machine: PrivateMachine, htpasswd = ''): Promise<{ name: string }> {
  const folder = path.join(machine.folder, 'registry');
  const config = path.join(folder, 'config.json');
  const passwords = path.join(folder, 'htpasswd');
  await mkdir(folder);
  await writeFile(passwords, htpasswd);
  const settings = {
    version: '0.1',
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: path.join(folder, 'data') }, delete: { enabled: true } },
    http: { addr: `${machine.address}:${port}` },
    ...(htpasswd !== '' && { auth: { htpasswd: { realm: 'eru', path: passwords } } }),
  };
  await writeFile(config, JSON.stringify(settings));
  machine.spawn('docker-registry', ['serve', config]);
  await retry(() => connect(machine.address), { attempts: 100, baseMs: 50, maxMs: 200 });
  return { name: `${machine.address}:${port}` };
}

async function connect(host: string): Promise<void> {
  const socket = net.connect(port, host);
  await once(socket, 'connect');
  socket.destroy();
}
