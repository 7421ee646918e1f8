import { EruError, isErrno } from '@eru/kit';
import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { declaredFolder } from '../netd/intents.ts';
import type { DockerClient } from './docker-client.ts';
import { declaredOf } from './runtime-script.ts';

const install = 'run on the node: eru net install-docker && systemctl reload docker';

/**
 * That dockerd has a runtime of this name, which asks the network daemon with its state in `folder`: that of another one would
 * attach containers to that one's networks. dockerd keeps the path alone, so the script counts as it is now.
 * @throws EruError `unsupported`; `unavailable` when dockerd does not answer
 */
export async function checkRuntime(
  docker: Pick<DockerClient, 'get'>,
  name: string,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  const { Runtimes = {} } = (await docker.get('/info', signal)) as { Runtimes?: Record<string, { path?: string }> };
  const known = Runtimes[name];
  if (known === undefined)
    throw new EruError(
      'unsupported',
      `networks: this node's dockerd has no runtime ${name}, which puts containers on networks of Eru; ${install}`,
    );
  const { path: script = '' } = known;
  const declared = declaredOf(await contentsOf(script));
  if (declared === declaredFolder(folder)) return;
  const what =
    declared === undefined
      ? 'which is no script of eru net install-docker that can be read here'
      : `which asks another network daemon, that of ${path.dirname(declared)}`;
  throw new EruError(
    'unsupported',
    `networks: runtime ${name} of this node's dockerd is ${JSON.stringify(script)}, ${what}; so that it asks the one of ${folder}, ${install} (with --data of this Eru, or --socket of its eru netd)`,
  );
}

/** What says that there is nothing to read. */
const codes = ['ENOENT', 'EACCES', 'EISDIR', 'ENOTDIR'];

async function contentsOf(file: string): Promise<string> {
  try {
    return file === '' ? '' : await readFile(file, 'utf8');
  } catch (error) {
    if (codes.some((code) => isErrno(error, code))) return '';
    throw error;
  }
}
