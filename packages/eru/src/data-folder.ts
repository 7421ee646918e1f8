import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, statfs } from 'node:fs/promises';
import path from 'node:path';

import { EruError, formatSize, readIfExists, writeFileAtomic } from '@eru/kit';

/** Where everything of one Eru lives (`--data`). */
export interface DataFolder {
  root: string;
  store: string;
  runtime: string;
  /** Socket of the node daemon. */
  socket: string;
  /** Of the network daemon inside the node daemon: its state and its socket. */
  network: string;
  netdSocket: string;
  log: string;
  credential: string;
  /** The authority of a core that serves other machines. */
  ca: string;
  /** What this machine is to a cluster that it has joined. */
  node: string;
}

/** Creates it, for its owner only. Where the disk is full, nothing is begun. */
export async function openDataFolder(root: string): Promise<DataFolder> {
  await checkRoom(root);
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new EruError(
      'precondition',
      `--data: cannot create ${root}: ${(cause as Error).message}; choose a folder that you may write to`,
      { cause },
    );
  }
  const at = (name: string): string => path.join(root, name);
  return {
    root,
    store: at('store'),
    runtime: at('runtime'),
    socket: at('runtime.sock'),
    network: at('network'),
    netdSocket: at('netd.sock'),
    log: at('eru.log'),
    credential: at('credential'),
    ca: at('ca.pem'),
    node: at('node.json'),
  };
}

/** LMDB maps its lock file: without room for it, the process would end with SIGBUS. The rest is for first state and logs. */
const leastFree = 2 ** 20;

async function checkRoom(root: string): Promise<void> {
  let folder = root;
  while (!existsSync(folder)) folder = path.dirname(folder);
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize < leastFree)
    throw new EruError(
      'precondition',
      `--data: the disk of ${root} is full (${formatSize(bavail * bsize)} free, ${formatSize(leastFree)} needed); make room, or choose another folder`,
    );
}

export interface Credential {
  username: string;
  password: string;
}

/** The random credential of this Eru: made once, kept over restarts, so that running cli and agents stay welcome. */
export async function credentialOf(data: DataFolder): Promise<Credential> {
  const known = await readIfExists(data.credential);
  if (known !== undefined) return JSON.parse(known) as Credential;
  const credential = { username: 'eru', password: randomBytes(24).toString('base64url') };
  await writeFileAtomic(data.credential, `${JSON.stringify(credential)}\n`, 0o600);
  return credential;
}
