import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import path from 'node:path';

import { loadOutput, type Context } from '@eru/cli';
import { EruError, invalid, isJsonObject, parseConfig, readIfExists, writeFileAtomic } from '@eru/kit';
import {
  connectNetd,
  declaredFolder,
  DockerClient,
  loadNetworkList,
  runtimeFolder,
  runtimeScript,
  type NetworkService,
} from '@eru/network';
import { z } from 'zod';

import { netdSocketOf } from '../node/node-networks.ts';

export interface InstallDockerFlags {
  socket?: string;
  docker: string;
  script: string;
  name: string;
  daemonJson: string;
  runtime?: string;
  default?: boolean;
  network?: string;
  ifname?: string;
  config?: string;
  trustImages?: boolean;
  print?: boolean;
}

/** The original's `cni.yaml`. Its log keys have nothing to say any more: the daemon logs. */
const cniSchema = z.strictObject({
  oci_bin: z.string().optional(),
  cni_conf_dir: z.string().optional(),
  cni_bin_dir: z.string().optional(),
  cni_ifname: z.string().optional(),
  cni_log: z.string().optional(),
  log_driver: z.string().optional(),
  log_level: z.string().optional(),
});

/** Writes the runtime script, and names it to dockerd in its configuration file. */
export async function installDocker(context: Context, flags: InstallDockerFlags): Promise<undefined> {
  const { say } = await loadOutput();
  const socket = path.resolve(flags.socket ?? netdSocketOf(context.globals.data));
  const netd = connectNetd(socket);
  const { folder, namespaceFolder, pluginFolders } = await netd.about({}, context.signal);
  if (!(await takesContainers(socket)))
    throw new EruError(
      'precondition',
      `the network daemon at ${socket} looks after no containers; start it with: eru netd --docker`,
    );
  const original = flags.config === undefined ? undefined : await readOriginal(flags.config, netd, pluginFolders);
  const runtime = await findRuntime(flags.runtime ?? original?.runtime, context.env);
  const network = flags.network ?? original?.network;
  const ifname = flags.ifname ?? original?.ifname;
  if (network !== undefined) await checkNetwork(netd, network);
  const script = path.resolve(flags.script);
  const dockerd = await askDockerd(flags);
  const text = runtimeScript({
    runtime,
    calls: runtimeFolder(socket),
    declared: declaredFolder(folder),
    namespaces: namespaceFolder,
    dockerContainers: path.join(dockerd.root, 'containers'),
    settings: {
      script,
      all: original !== undefined,
      trustImages: flags.trustImages === true,
      ...(network !== undefined && { network }),
      ...(ifname !== undefined && { ifname }),
    },
  });
  if (flags.print === true) {
    context.stdout.write(text);
    return;
  }
  const configuration = await withRuntime(flags.daemonJson, flags.name, script, flags.default === true);
  await writeFileAtomic(script, text, 0o755);
  await writeFileAtomic(flags.daemonJson, configuration);
  const next = dockerd.answers
    ? 'now let dockerd read it: systemctl reload docker'
    : `no dockerd answers at ${flags.docker}: it reads this when it starts`;
  say(context, `${script} is runtime ${flags.name} in ${flags.daemonJson}; ${next}`);
}

/** dockerd's configuration with one more runtime; all else in it stays. */
async function withRuntime(file: string, name: string, script: string, isDefault: boolean): Promise<string> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name) || name === 'runc')
    throw invalid('--name', name, 'write letters, digits, _, . and -; runc is dockerd’s own');
  const text = (await readIfExists(file)) ?? '';
  let before: unknown = {};
  try {
    before = text.trim() === '' ? {} : JSON.parse(text);
  } catch (cause) {
    throw new EruError('invalid', `${file}: it is not JSON, and stays as it is: ${EruError.from(cause).message}`, {
      cause,
    });
  }
  if (!isJsonObject(before)) throw new EruError('invalid', `${file}: it is not an object, and stays as it is`);
  const runtimes = isJsonObject(before['runtimes']) ? before['runtimes'] : {};
  const after = {
    ...before,
    runtimes: { ...runtimes, [name]: { path: script } },
    ...(isDefault && { 'default-runtime': name }),
  };
  return `${JSON.stringify(after, null, 2)}\n`;
}

/** What the original's configuration says, with the network of its folder put into the daemon. */
async function readOriginal(
  file: string,
  netd: NetworkService,
  pluginFolders: readonly string[],
): Promise<{ runtime?: string; network: string; ifname?: string }> {
  const text = await readIfExists(file);
  if (text === undefined) throw invalid('--config', file, 'there is no such file');
  const config = parseConfig(text, file, cniSchema);
  const absent = (config.cni_bin_dir ?? '')
    .split(':')
    .filter((one) => one !== '' && !pluginFolders.includes(path.resolve(one)));
  if (absent.length > 0)
    throw new EruError(
      'precondition',
      `cni_bin_dir: the network daemon does not look into ${absent.join(', ')}; start it with: eru netd --plugins ${absent.join(' --plugins ')}`,
    );
  const { name, text: list } = await loadNetworkList(config.cni_conf_dir ?? '/etc/cni/net.d');
  const { plugins, cniVersion } = JSON.parse(list) as { plugins: unknown; cniVersion?: unknown };
  await netd.putNetwork({ name, plugins, ...(cniVersion !== undefined && { cniVersion }) });
  return {
    network: name,
    ...(config.oci_bin !== undefined && { runtime: config.oci_bin }),
    ...(config.cni_ifname !== undefined && { ifname: config.cni_ifname }),
  };
}

async function checkNetwork(netd: NetworkService, name: string): Promise<void> {
  const known = (await netd.networks()).map(({ definition }) => definition.name);
  if (!known.includes(name))
    throw new EruError('not_found', `--network: there is no network ${name}; there are: ${known.join(', ') || 'none'}`);
}

/** runc or crun. Absolute, for dockerd's PATH is another. */
async function findRuntime(wanted: string | undefined, env: NodeJS.ProcessEnv): Promise<string> {
  const folders = [...(env['PATH'] ?? '').split(':'), '/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin'];
  const names = wanted === undefined ? ['runc', 'crun'] : [wanted];
  const candidates = names.flatMap((name) =>
    name.includes('/') ? [path.resolve(name)] : folders.filter((one) => one !== '').map((one) => path.join(one, name)),
  );
  for (const candidate of candidates)
    if (
      await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  throw invalid('--runtime', wanted ?? 'runc', 'there is no such program here');
}

/** Whether the daemon with this socket answers runtime scripts, too. */
async function takesContainers(socket: string): Promise<boolean> {
  const pid = Number(await readIfExists(path.join(runtimeFolder(socket), 'pid')));
  try {
    return pid > 0 && process.kill(pid, 0);
  } catch {
    return false; // What a killed one left.
  }
}

/** Where dockerd keeps its data: by itself, or by its configuration while it is away. */
async function askDockerd({ docker, daemonJson }: InstallDockerFlags): Promise<{ root: string; answers: boolean }> {
  try {
    const info = (await new DockerClient(docker).get('/info')) as { DockerRootDir?: string };
    if (info.DockerRootDir !== undefined) return { root: info.DockerRootDir, answers: true };
  } catch (error) {
    if (!(error instanceof EruError) || error.code !== 'unavailable') throw error;
  }
  const text = (await readIfExists(daemonJson)) ?? '{}';
  const said: unknown = JSON.parse(text.trim() === '' ? '{}' : text);
  const root = isJsonObject(said) && typeof said['data-root'] === 'string' ? said['data-root'] : '/var/lib/docker';
  return { root, answers: false };
}
