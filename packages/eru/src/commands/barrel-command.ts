import path from 'node:path';

import { openBarrel } from '@eru/barrel';
import type { Context } from '@eru/cli';
import { createLogger, invalid, type LogLevel } from '@eru/kit';
import { connectNetd } from '@eru/network';

import { netdSocketOf } from '../node/node-networks.ts';
import { openDataFolder } from '../data-folder.ts';
import { serveDetached, serveUntilStopped } from './serve-until-stopped.ts';

export interface BarrelFlags {
  host?: string[];
  dockerdPath?: string;
  dockerdCa?: string;
  dockerdCert?: string;
  dockerdKey?: string;
  serverCert?: string;
  serverKey?: string;
  clientCa?: string;
  group?: string;
  netd?: string;
  socket?: string;
  runtime: string;
  defaultNetwork?: string;
  logLevel?: string;
  detach?: boolean;
}

/** With the environment's names of the original, which a flag overrules. */
export async function barrelCommand(context: Context, flags: BarrelFlags): Promise<number> {
  const { env } = context;
  const level = (flags.logLevel ?? env['BARREL_LOG_LEVEL'] ?? 'info').toLowerCase();
  if (!isLevel(level)) throw invalid('--log-level', level, `write ${levels.join(', ')}`);
  if (flags.detach === true) {
    const { root } = await openDataFolder(context.globals.data);
    return serveDetached(context, "the proxy for Docker's API", path.join(root, 'barrel.log'));
  }
  return serveUntilStopped(context, async (closer) => {
    const barrel = await openBarrel({
      netd: connectNetd(flags.netd ?? netdSocketOf(context.globals.data)),
      dockerd: flags.dockerdPath ?? env['BARREL_DOCKERD_PATH'] ?? 'unix:///var/run/docker.sock',
      dockerdTls: { ca: flags.dockerdCa, cert: flags.dockerdCert, key: flags.dockerdKey },
      hosts: flags.host ?? env['BARREL_HOSTS']?.split(',') ?? ['unix:///var/run/barrel.sock'],
      tls: {
        cert: flags.serverCert ?? env['BARREL_TLS_CERT_FILE_PATH'],
        key: flags.serverKey ?? env['BARREL_TLS_KEY_FILE_PATH'],
        clientCa: flags.clientCa,
      },
      group: flags.group,
      own: path.resolve(flags.socket ?? '/run/eru/barrel.sock'),
      rules: { runtime: flags.runtime, defaultNetwork: flags.defaultNetwork },
      logger: createLogger({ level }),
    });
    closer.add('barrel', () => barrel.close());
  });
}

const levels = ['debug', 'info', 'warn', 'error', 'silent'] as const satisfies readonly LogLevel[];

function isLevel(level: string): level is LogLevel {
  return (levels as readonly string[]).includes(level);
}
