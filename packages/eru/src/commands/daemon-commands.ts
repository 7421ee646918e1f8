import type { Context } from '@eru/cli';
import type { Core } from '@eru/client';
import { createLogger, EruError, invalid, systemClock, type Closer, type Logger } from '@eru/kit';

import { runRuntime, type LocalRuntime } from '../daemons.ts';
import { openDataFolder, type DataFolder } from '../data-folder.ts';
import { defaultNodeListen } from '../settings/default-listen.ts';
import { join, tokenHash, type JoinOptions } from '../node/join.ts';
import { keepCertificate } from '../node/keep-certificate.ts';
import { connectOverRenewals } from '../node/node-core.ts';
import { readIdentity, type NodeIdentity } from '../node/node-identity.ts';
import { reachableAddress } from '../reachable.ts';
import { writeRunning } from '../running.ts';
import { serveUntilStopped } from './serve-until-stopped.ts';

export interface JoinFlags {
  join?: string;
}

export interface RuntimeFlags extends JoinFlags {
  socket?: string;
  strict?: boolean;
  docker: string;
  netd: string;
  ociRuntime?: string;
  listen?: string;
  advertise?: string;
}

/** `eru runtime`: for cores on this machine, and, once it has joined, for those elsewhere. */
export async function runtimeCommand(context: Context, flags: RuntimeFlags, core?: string): Promise<number> {
  if (flags.join === undefined)
    for (const [flag, value] of Object.entries({
      '--listen': flags.listen,
      '--advertise': flags.advertise,
      CORE: core,
    }))
      if (value !== undefined)
        throw new EruError('invalid', `${flag}: it goes with --join; what was joined is remembered`);
  const data = await openDataFolder(context.globals.data);
  const logger = createLogger();
  return serveUntilStopped(context, async (closer) => {
    const runtime = await runRuntime({
      folder: data.runtime,
      socket: flags.socket ?? data.socket,
      strict: flags.strict === true,
      docker: flags.docker,
      networks: { data, netd: flags.netd },
      ociRuntime: flags.ociRuntime,
      logger,
    });
    closer.add('runtime', () => runtime.close());
    await serveCluster(context, { data, runtime, logger, closer }, flags, core);
    await writeRunning(data.root, 'runtime', {});
  });
}

async function serveCluster(
  context: Context,
  { data, runtime, logger, closer }: { data: DataFolder; runtime: LocalRuntime; logger: Logger; closer: Closer },
  flags: RuntimeFlags,
  core: string | undefined,
): Promise<void> {
  const listen = flags.listen ?? defaultNodeListen;
  let remote: Awaited<ReturnType<LocalRuntime['serveRemote']>> | undefined;
  const serve: NonNullable<JoinOptions['daemon']>['serve'] = async (tls) => {
    remote = await runtime.serveRemote(listen, tls);
    return `eru+tls://${flags.advertise ?? (await reachableAddress(remote.address, coresOf(context, core)))}`;
  };
  const identity = await identityOf(context, data, flags, core, { listen, serve });
  if (identity === undefined) return;
  if (identity.listen === '')
    throw new EruError('precondition', `only an agent of node ${identity.node} has joined here; join with a new token`);
  if (remote === undefined) remote = await runtime.serveRemote(identity.listen, identity);
  else remote.setTls(identity);
  const port = remote;
  keep({ data, logger, closer }, identity, (next) => port.setTls(next));
}

/** The node that this machine has joined as, and its way to core, over renewals of its certificate; undefined when it has not. */
export async function joinedNode(
  context: Context,
  { data, logger, closer }: { data: DataFolder; logger: Logger; closer: Closer },
  flags: JoinFlags & { node?: string },
  address: string | undefined,
): Promise<{ node: string; core: Pick<Core, 'core' | 'eru'> } | undefined> {
  const identity = await identityOf(context, data, flags, address);
  if (identity === undefined) return undefined;
  const { node } = identity;
  if (flags.node !== undefined && flags.node !== node)
    throw invalid('--node', flags.node, `this machine has joined as node ${node}`);
  const over = connectOverRenewals(identity);
  closer.add('client', () => over.close());
  keep({ data, logger, closer }, identity, (next) => over.use(next));
  return { node, core: over.core };
}

/** What this machine is, joining first when it is told to with a token that it has not joined with already. */
async function identityOf(
  context: Context,
  data: DataFolder,
  { join: token }: JoinFlags,
  core: string | undefined,
  daemon?: JoinOptions['daemon'],
): Promise<NodeIdentity | undefined> {
  const known = await readIdentity(data);
  if (token === undefined || known?.token === tokenHash(token)) return known;
  const cores = coresOf(context, core);
  const { signal, stderr } = context;
  const identity = await join({ data, token, cores, clock: systemClock, signal, ...(daemon && { daemon }) });
  stderr.write(`This machine is node ${identity.node}. It needs no token any more.\n`);
  return identity;
}

function coresOf({ globals }: Context, core: string | undefined): string {
  const cores = core ?? globals.eru;
  if (cores === undefined) throw new EruError('invalid', 'CORE: missing; write --join TOKEN HOST:PORT');
  return cores;
}

function keep(
  { data, logger, closer }: { data: DataFolder; logger: Logger; closer: Closer },
  identity: NodeIdentity,
  use: (identity: NodeIdentity) => void,
): void {
  const stop = new AbortController();
  closer.add('renewal', () => stop.abort());
  void keepCertificate({ data, identity, use, clock: systemClock, logger, signal: stop.signal });
}
