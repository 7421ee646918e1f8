import type { Clock, JsonObject, Random } from '@eru/kit';
import { EruError, backoff, isJsonObject, systemClock, systemRandom } from '@eru/kit';

import type { AttachmentKey, CachedAttachment } from './cache.ts';
import { AttachmentCache } from './cache.ts';
import type { NetworkList, PluginConfig } from './config.ts';
import { parseNetworkList } from './config.ts';
import { cniCodeOf, cniCodes } from './error.ts';
import { KeyedLock } from './keyed-lock.ts';
import { checkInterfaceName, checkName } from './names.ts';
import type { CniCommand } from './plugin.ts';
import { callPlugin, findPlugin } from './plugin.ts';
import type { CniResult } from './result.ts';
import { convertResult, parseResult } from './result.ts';
import { atLeast } from './version.ts';

export interface CniOptions {
  /** Where plugins lie, in order: `CNI_PATH`. */
  pluginFolders: readonly string[];
  /** For the results of ADD; ours alone. */
  cacheFolder: string;
  /** Of one plugin call; default 60 s. */
  timeoutMs?: number;
  clock?: Clock;
  random?: Random;
}

export interface Attachment {
  readonly containerId: string;
  readonly ifname: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** `CNI_ARGS`; `IgnoreUnknown=1` is always sent before them. */
  readonly args?: readonly (readonly [string, string])[];
  /** Capability arguments by name; a plugin gets those that its configuration switches on. */
  readonly capabilities?: JsonObject;
}

interface CallOptions {
  signal?: AbortSignal | undefined;
}

/** "Try again later" is tried so often before it is an error. */
const laterAttempts = 4;

/**
 * Runs networks' plugins (specification 1.1.0, "Execution of network configurations"). Operations on one container take
 * turns; GC of a network waits for all others of it and holds them back.
 */
export class Cni {
  readonly cache: AttachmentCache;
  readonly #options: Required<CniOptions>;
  readonly #containers = new KeyedLock();
  readonly #networks = new KeyedLock();

  constructor(options: CniOptions) {
    this.#options = { timeoutMs: 60_000, clock: systemClock, random: systemRandom, ...options };
    this.cache = new AttachmentCache(options.cacheFolder);
  }

  /** @throws EruError `precondition` when this machine lacks one of the plugins, with what provides it */
  async require(types: readonly string[]): Promise<void> {
    for (const type of types)
      await findPlugin(type, this.#options.pluginFolders).catch((cause: unknown) => {
        throw new EruError('precondition', EruError.from(cause).message, { cause });
      });
  }

  /**
   * Runs all plugins, and remembers how. When it fails, whatever the plugins have done so far stands until `del`, which the
   * caller then owes; it knows the configuration even then.
   */
  add(list: NetworkList, attachment: Attachment, { signal }: CallOptions = {}): Promise<CniResult> {
    checkAttachment(list.name, attachment);
    return this.#exclusive(list.name, attachment.containerId, async () => {
      const { containerId, ifname, netns, args = [], capabilities = {} } = attachment;
      const record: CachedAttachment = {
        network: list.name,
        containerId,
        ifname,
        config: list.text,
        netns,
        args,
        capabilities,
        complete: false,
      };
      await this.cache.write(record, true);
      let result: CniResult | undefined;
      for (const [index, plugin] of list.plugins.entries()) {
        const answer = await this.#call('ADD', list, plugin, record, result, signal);
        result = convertResult(parseResult(answer, plugin.type, list.cniVersion), list.cniVersion);
        // Chained plugins undo nothing without the addresses, so DEL must know them even if we die in the next one.
        await this.cache.write({ ...record, result, complete: index === list.plugins.length - 1 }, false);
      }
      return result as CniResult;
    });
  }

  /**
   * Undoes an attachment in reverse order, with the configuration, arguments and result of its ADD; `fallback` serves
   * where nothing was remembered, and without it that is no error. Repeatable. `netns` is empty when the namespace is gone.
   */
  del(
    key: AttachmentKey,
    { signal, netns, fallback }: CallOptions & { netns?: string; fallback?: NetworkList } = {},
  ): Promise<void> {
    checkAttachment(key.network, key);
    return this.#exclusive(key.network, key.containerId, () => this.#undo(key, { signal, netns, fallback }));
  }

  /** @throws EruError what the first plugin finds wrong; `unsupported` before 0.4.0; `precondition` when nothing is remembered */
  check(key: AttachmentKey, { signal }: CallOptions = {}): Promise<void> {
    checkAttachment(key.network, key);
    return this.#exclusive(key.network, key.containerId, async () => {
      const record = await this.cache.read(key);
      if (record?.result === undefined || !record.complete)
        throw new EruError(
          'precondition',
          `${key.containerId} ${key.ifname} is not on network ${key.network}: nothing to check`,
        );
      const list = await listOf(record);
      if (!atLeast(list.cniVersion, '0.4.0'))
        throw new EruError(
          'unsupported',
          `network ${list.name}: CHECK needs cniVersion 0.4.0, the list has ${list.cniVersion}`,
        );
      if (list.disableCheck) return;
      for (const plugin of list.plugins) await this.#call('CHECK', list, plugin, record, record.result, signal);
    });
  }

  /**
   * Undoes every remembered attachment of the network that is not among `valid`, in any version; from 1.1.0 on the
   * plugins then collect what they alone know. Goes on after errors. @throws AggregateError of them all
   */
  gc(
    list: NetworkList,
    valid: readonly Pick<Attachment, 'containerId' | 'ifname'>[],
    { signal }: CallOptions = {},
  ): Promise<void> {
    return this.#networks.exclusive(list.name, async () => {
      const errors: unknown[] = [];
      const attempt = (work: Promise<unknown>): Promise<unknown> => work.catch((error: unknown) => errors.push(error));
      const keep = new Set(valid.map(({ containerId, ifname }) => `${containerId}/${ifname}`));
      for (const record of await this.cache.list()) {
        if (record.network !== list.name || keep.has(`${record.containerId}/${record.ifname}`)) continue;
        await attempt(this.#undo(record, { signal }));
      }
      if (atLeast(list.cniVersion, '1.1.0') && !list.disableGC) {
        const attachments = valid.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
        const extra = { 'cni.dev/valid-attachments': attachments, 'cni.dev/attachments': attachments };
        for (const plugin of list.plugins)
          await attempt(this.#run('GC', plugin, { ...base(list, plugin), ...extra }, {}, signal));
      }
      if (errors.length > 0)
        throw new AggregateError(
          errors,
          `GC of network ${list.name}: ${errors.map((error) => EruError.from(error).message).join('; ')}`,
        );
    });
  }

  /** Whether an ADD could work now. Plugins before 1.1.0 cannot say. @throws EruError of the first that is not ready */
  async status(list: NetworkList, { signal }: CallOptions = {}): Promise<void> {
    if (!atLeast(list.cniVersion, '1.1.0')) return;
    for (const plugin of list.plugins) await this.#run('STATUS', plugin, base(list, plugin), {}, signal);
  }

  /** The versions that a plugin speaks. */
  async version(type: string, { signal }: CallOptions = {}): Promise<string[]> {
    const answer = await this.#run('VERSION', { type }, { cniVersion: '1.1.0' }, {}, signal);
    let value: unknown;
    try {
      value = JSON.parse(answer);
    } catch {
      value = undefined;
    }
    const versions = isJsonObject(value) ? value['supportedVersions'] : undefined;
    if (!Array.isArray(versions) || !versions.every((version) => typeof version === 'string'))
      throw new EruError('failed', `CNI plugin ${type} VERSION: its answer has no supportedVersions`);
    return versions;
  }

  async #undo(
    key: AttachmentKey,
    {
      signal,
      netns,
      fallback,
    }: { signal?: AbortSignal | undefined; netns?: string | undefined; fallback?: NetworkList | undefined },
  ): Promise<void> {
    const known = await this.cache.read(key);
    if (known === undefined && fallback === undefined) return;
    const list = known === undefined ? (fallback as NetworkList) : await listOf(known);
    const record = {
      config: '',
      args: [],
      capabilities: {},
      netns: '',
      ...key,
      ...known,
      ...(netns !== undefined && { netns }),
    };
    // Before 0.4.0 a plugin does not expect a result here.
    const result = atLeast(list.cniVersion, '0.4.0') ? known?.result : undefined;
    for (const plugin of list.plugins.toReversed()) {
      try {
        await this.#call('DEL', list, plugin, record, result, signal);
      } catch (error) {
        if (cniCodeOf(error) !== cniCodes.unknownContainer) throw error; // There is nothing of it: that is what we want.
      }
    }
    await this.cache.remove(key);
  }

  #call(
    command: CniCommand,
    list: NetworkList,
    plugin: PluginConfig,
    { containerId, ifname, netns, args, capabilities }: Omit<CachedAttachment, 'network' | 'config' | 'complete'>,
    previous: CniResult | undefined,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const config = base(list, plugin);
    const runtimeConfig = capabilitiesFor(plugin, capabilities);
    if (runtimeConfig !== undefined) config['runtimeConfig'] = runtimeConfig;
    if (previous !== undefined) config['prevResult'] = { ...previous } as unknown as JsonObject;
    // Plugins built on the Go library refuse keys that they do not know unless they are told this first.
    const text = [['IgnoreUnknown', '1'] as const, ...args].map(([key, value]) => `${key}=${value}`).join(';');
    const env = { CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifname, CNI_ARGS: text };
    return this.#run(command, plugin, config, env, signal);
  }

  async #run(
    command: CniCommand,
    { type }: { type: string },
    config: JsonObject,
    env: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<string> {
    const { pluginFolders: folders, timeoutMs, clock, random } = this.#options;
    const input = JSON.stringify(config);
    for (let attempt = 1; ; attempt++) {
      try {
        return await callPlugin({
          type,
          folders,
          command,
          env,
          input,
          timeoutMs,
          clock,
          ...(signal !== undefined && { signal }),
        });
      } catch (error) {
        if (cniCodeOf(error) !== cniCodes.tryAgainLater || attempt >= laterAttempts) throw error;
        await clock.sleep(backoff(attempt, { random }), signal);
      }
    }
  }

  #exclusive<T>(network: string, containerId: string, work: () => Promise<T>): Promise<T> {
    return this.#networks.shared(network, () => this.#containers.exclusive(containerId, work));
  }
}

/** What every plugin of a list is given beside its own configuration. `capabilities` is for us, not for it. */
function base({ name, cniVersion }: NetworkList, { capabilities: _ours, ...plugin }: PluginConfig): JsonObject {
  return { ...plugin, name, cniVersion };
}

function capabilitiesFor({ capabilities }: PluginConfig, values: JsonObject): JsonObject | undefined {
  if (!isJsonObject(capabilities)) return undefined;
  const enabled = Object.entries(values).filter(([name]) => capabilities[name] === true);
  return enabled.length === 0 ? undefined : Object.fromEntries(enabled);
}

function listOf({ config, network }: CachedAttachment): Promise<NetworkList> {
  return parseNetworkList(config, `remembered configuration of ${network}`);
}

function checkAttachment(
  network: string,
  { containerId, ifname, args = [] }: Pick<Attachment, 'containerId' | 'ifname' | 'args'>,
): void {
  checkName('network', network);
  checkName('containerId', containerId);
  checkInterfaceName('ifname', ifname);
  for (const [key, value] of args)
    if (/[;=]/.test(key) || value.includes(';'))
      throw new EruError('invalid', `args: ${key}=${value}: ; separates arguments and = ends a key`);
}
