import type { Context } from '@eru/cli';
import { removeEndpoint } from '@eru/client';
import { createAdjustableLogger } from '@eru/kit';

import { readCoreConfig, withoutEffect } from '../settings/core-config.ts';
import { coreKeyNames, describe, type CoreConfig } from '../settings/core-keys.ts';
import { credentialIn, etcdOf, levelOf, limitsOf, refuseOpenPort, settingsOf } from '../settings/core-settings.ts';
import { openEtcd, openStore, runCore, type RunningCore } from '../daemons.ts';
import { defaultListen } from '../settings/default-listen.ts';
import { credentialOf, openDataFolder, type Credential, type DataFolder } from '../data-folder.ts';
import { writeRunning } from '../running.ts';
import { serveUntilStopped } from './serve-until-stopped.ts';
import { readServing, type ServingFlags } from '../settings/serving-flags.ts';
import { tellOwnMachine } from '../tell-own-machine.ts';

export interface CoreFlags extends Omit<ServingFlags, 'listen'> {
  listen?: string;
  store?: string;
  config?: string;
  pluginDir?: string;
}

/** `eru core`. What flags say wins over the environment, and that over the configuration file. */
export async function coreCommand(context: Context, flags: CoreFlags): Promise<number> {
  const { env, globals } = context;
  const file = flags.config ?? env['ERU_CONFIG_PATH'];
  const config = await readCoreConfig(file, env);
  const data = await openDataFolder(globals.data);
  const filename = config['log.filename'];
  const log = createAdjustableLogger({ level: levelOf(config), ...(filename && { file: filename }) });
  for (const { key, meaning } of withoutEffect(config))
    log.logger.warn({ key }, `configuration: no effect: ${meaning}`);
  return serveUntilStopped(context, async (closer) => {
    const listen = flags.listen ?? config.bind ?? defaultListen;
    const credential = await credentialFor(flags, config, file, listen, data);
    const etcd = flags.store === undefined ? await etcdOf(config) : undefined;
    const url = flags.store ?? 'embedded';
    const store = etcd === undefined ? await openStore(url, data, log.logger) : await openEtcd(etcd, log.logger);
    closer.add('store', () => store.close());
    // A file's etcd may have its password there: who takes this Eru down names the store.
    await writeRunning(data.root, 'core', etcd === undefined ? { store: url } : {});
    const settings = settingsOf(config, flags.pluginDir);
    const serving = await readServing({ ...flags, listen });
    const core = await runCore({ store, serving, credential, settings, logger: log.logger, signal: context.signal });
    closer.add('core', () => core.close());
    await tellOwnMachine(data, core, credential);
    closer.add('endpoint file', () => removeEndpoint(data.root));
    if (file !== undefined) reloadOnHangUp({ context, flags, file, config, core, log });
  });
}

/** The file's; a file without one serves as the original does, to this machine only. Without a file, the data folder's own. */
async function credentialFor(
  { auth }: CoreFlags,
  config: CoreConfig,
  file: string | undefined,
  listen: string,
  data: DataFolder,
): Promise<Credential | undefined> {
  if (!auth) return undefined;
  const given = credentialIn(config);
  if (given !== undefined) return given;
  if (file === undefined) return credentialOf(data);
  refuseOpenPort(listen, file);
  return undefined;
}

interface Reload {
  context: Context;
  flags: CoreFlags;
  file: string;
  config: CoreConfig;
  core: RunningCore;
  log: ReturnType<typeof createAdjustableLogger>;
}

/** SIGHUP reads the file again, and takes over what a running core can; a file with a mistake changes nothing. */
function reloadOnHangUp(reload: Reload): void {
  let { config } = reload;
  const { logger } = reload.log;
  process.removeAllListeners('SIGHUP');
  process.on('SIGHUP', () => {
    reload.log.reopen();
    readCoreConfig(reload.file, reload.context.env)
      .then((next) => {
        apply(reload, config, next);
        config = next;
      })
      .catch((error: unknown) => {
        logger.error({ err: error }, 'the configuration was not read again; everything stays as it was');
      });
  });
}

function apply({ flags, core, log }: Reload, before: CoreConfig, next: CoreConfig): void {
  const changed = coreKeyNames.filter((key) => JSON.stringify(before[key]) !== JSON.stringify(next[key]));
  const opened = credentialIn(before) === undefined || !flags.auth;
  const now = changed.filter((key) => describe(key).reload && !(key.startsWith('auth.') && opened));
  const credential = credentialIn(next);
  if (credential !== undefined && !opened) core.setCredential(credential);
  const closed = credential === undefined && !opened;
  core.setLimits(limitsOf(next));
  core.setCallsPerSecond(next['grpc.max_calls_per_second']);
  core.inspectOnly(next['resource_plugin.whitelist']);
  log.setLevel(levelOf(next));
  const restart = changed.filter(
    (key) => describe(key).use === 'used' && (!now.includes(key) || (closed && key.startsWith('auth.'))),
  );
  log.logger.info(
    { changed: now.filter((key) => !restart.includes(key)), restart },
    restart.length === 0 ? 'configuration read again' : 'configuration read again; some of it needs a restart',
  );
}
