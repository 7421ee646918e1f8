import type { Logger } from '@eru/kit';
import { EruError, isJsonObject } from '@eru/kit';
import { z } from 'zod';

import type { DeclareRequest } from '../netd/intent.ts';
import type { MailboxAnswer } from '../netd/mailbox.ts';
import type { Netd } from '../netd/netd.ts';
import type { Sandbox } from '../netd/sandbox.ts';
import type { Bundle } from './bundle.ts';
import {
  annotationsOf,
  environmentOf,
  hasOwnNetwork,
  hasOwnUsers,
  readBundle,
  withHook,
  withNetwork,
  writeBundle,
} from './bundle.ts';
import type { DockerClient } from './docker-client.ts';
import type { DockerContainer } from './docker-container.ts';
import { ownLabels, readDockerContainer, readImageLabels, writeNames } from './docker-container.ts';
import { isWish, labelsOfEnvironment, readWish, words } from './wish.ts';

/** What a runtime script was installed with; it tells with each call. */
export const settingsSchema = z.strictObject({
  /** Its own path. */
  script: z.string(),
  /** Each container without a network of its engine's is ours. */
  all: z.boolean(),
  /** Labels and environment of images count. */
  trustImages: z.boolean(),
  /** Where containers go that name no network. */
  network: z.string().optional(),
  /** How the first interface is called. */
  ifname: z.string().optional(),
});

export type RuntimeSettings = z.infer<typeof settingsSchema>;

type Declared = Omit<DeclareRequest, 'expiresInMs'>;

/**
 * What the runtime script asks: `create` answers `pass` for containers of others, and for ours makes namespace and interfaces
 * first and tells the bundle of them; `delete` undoes that; `ADD` and `DEL` are the same from hooks, for containers with users
 * of their own.
 */
export class Containers {
  readonly #netd: Netd;
  readonly #docker: DockerClient | undefined;
  readonly #logger: Logger;

  constructor({ netd, docker, logger }: { netd: Netd; docker?: DockerClient | undefined; logger: Logger }) {
    this.#netd = netd;
    this.#docker = docker;
    this.#logger = logger;
  }

  /** Lines of a call; an error becomes what engines show of a runtime. */
  async answer(text: string): Promise<MailboxAnswer> {
    const [verb = '', id = '', third = '', ...rest] = text.replace(/\n$/, '').split('\n');
    try {
      if (verb === 'create') return { code: 0, output: await this.#create(id, third, settingsOf(rest.join('\n'))) };
      if (verb === 'delete') await this.#delete(id, Number(third));
      else if (verb === 'ADD') await this.#hook(id, settingsOf(third), rest.join('\n'));
      else if (verb === 'IPV6') await this.#netd.restoreIpv6(id);
      else if (verb === 'DEL') await this.#netd.detach({ id });
      else
        throw new EruError(
          'invalid',
          `the runtime script of another version asks for ${JSON.stringify(verb)}; install it again`,
        );
      return { code: 0, output: 'done' };
    } catch (error) {
      const { message } = EruError.from(error);
      this.#logger.warn({ err: error, id, verb }, 'a call of the runtime script is refused');
      return { code: 1, output: JSON.stringify({ level: 'error', msg: `eru: ${message}` }) };
    }
  }

  async #create(id: string, folder: string, settings: RuntimeSettings): Promise<'pass' | 'ours'> {
    const bundle = await readBundle(folder);
    const container = await readDockerContainer(bundle, id);
    const declared = await this.#declared(id, bundle, container, settings);
    if (declared === undefined) return 'pass';
    if (!hasOwnNetwork(bundle) || (container !== undefined && container.networkMode !== 'none'))
      throw new EruError(
        'precondition',
        `it asks for network ${declared.networks.map(({ network }) => network).join(', ')}, and has one of its engine already; run it with --network none`,
      );
    if (hasOwnUsers(bundle)) {
      if (declared.keepNetns)
        throw new EruError(
          'unsupported',
          'a namespace cannot be kept over a stop when its container has users of its own',
        );
      const added = withHook(bundle, 'createRuntime', settings.script, ['ADD', id]);
      await writeBundle(withHook(added, 'poststop', settings.script, ['DEL', id]));
      return 'ours';
    }
    await this.#attach(id, declared, async ({ netns, interfaces }) => {
      if (container !== undefined) await writeNames(container, interfaces, declared.aliases);
      const joined = withNetwork(bundle, netns);
      const six = interfaces.some(({ addresses }) => addresses.some(({ address }) => address.includes(':')));
      // A hook of dockerd's own switches IPv6 off in a container without a network of Docker's (measured with 20.10).
      const restored = six && container !== undefined;
      await writeBundle(restored ? withHook(joined, 'createRuntime', settings.script, ['IPV6', id]) : joined);
    });
    return 'ours';
  }

  /** The runtime may have failed to delete what lives: then it is as before. */
  async #delete(id: string, code: number): Promise<void> {
    const [intent] = await this.#netd.intents({ container: id });
    if (intent?.keepNetns === true) return;
    if (code !== 0 && (await this.#netd.occupied(id))) return;
    await this.#netd.detach({ id });
  }

  async #hook(id: string, settings: RuntimeSettings, text: string): Promise<void> {
    const state: unknown = JSON.parse(text);
    const { pid, bundle: folder } = isJsonObject(state) ? state : {};
    if (typeof pid !== 'number' || typeof folder !== 'string')
      throw new EruError('invalid', `the runtime tells the hook of ${id} neither pid nor bundle`);
    const bundle = await readBundle(folder);
    const container = await readDockerContainer(bundle, id);
    const declared = await this.#declared(id, bundle, container, settings);
    if (declared === undefined) throw new EruError('not_found', `${id} is not declared any more`);
    const named = ({ interfaces }: Sandbox): Promise<void> =>
      container === undefined ? Promise.resolve() : writeNames(container, interfaces, declared.aliases);
    await this.#attach(id, declared, named, pid);
  }

  /** What a container is to have; undefined for one of others'. */
  async #declared(
    id: string,
    bundle: Bundle,
    container: DockerContainer | undefined,
    settings: RuntimeSettings,
  ): Promise<Declared | undefined> {
    const [known] = await this.#netd.intents({ container: id });
    if (known !== undefined) return { ...known, networks: [...known.networks] };
    const labels = await this.#labels(bundle, container, settings);
    const none = container === undefined ? hasOwnNetwork(bundle) : container.networkMode === 'none';
    if (!(settings.all && none) && !isWish(labels)) return undefined;
    // As in Barrel, `fixed-ip` alone says nothing about a network that is Docker's.
    if (!none && !Object.keys(labels).some((name) => name.startsWith('eru.network/'))) return undefined;
    const { ifname, network } = settings;
    const networks =
      network === undefined ? (await this.#netd.networks()).map(({ definition }) => definition.name) : [network];
    const wish = readWish(labels, {
      networks,
      ports: container?.ports ?? [],
      ...(ifname !== undefined && { ifname }),
    });
    const declared: Declared = { container: id, engine: container === undefined ? 'other' : 'docker', ...wish };
    // Nobody would tell of the end of another engine's; it says its words again at each start.
    if (container !== undefined) await this.#netd.declare(declared);
    return declared;
  }

  async #labels(
    bundle: Bundle,
    container: DockerContainer | undefined,
    { trustImages }: RuntimeSettings,
  ): Promise<Record<string, string>> {
    const annotations = annotationsOf(bundle);
    if (trustImages) return { ...labelsOfEnvironment(environmentOf(bundle)), ...container?.labels, ...annotations };
    const { labels = {} } = container ?? {};
    if (container === undefined || !isWish(labels)) return annotations;
    const own = ownLabels(labels, await this.#imageLabels(container));
    if (!isWish(own))
      this.#logger.warn(
        {
          id: container.name,
          labels: Object.keys(labels).filter((name) => name === words.fixed || name.startsWith('eru.')),
        },
        'labels of an image ask for a network; only those of its container count',
      );
    return { ...own, ...annotations };
  }

  async #imageLabels(container: DockerContainer): Promise<Record<string, string>> {
    const onDisk = await readImageLabels(container);
    if (onDisk !== undefined) return onDisk;
    if (this.#docker === undefined)
      throw new EruError(
        'unavailable',
        'nobody can say which labels are the image’s; start the network daemon with --docker',
      );
    const image = (await this.#docker.get(`/images/${encodeURIComponent(container.image)}/json`)) as {
      Config?: { Labels?: Record<string, string> | null };
    };
    return image.Config?.Labels ?? {};
  }

  /** Nothing is left of it when what comes next fails: its runtime will not be called for it. */
  async #attach(
    id: string,
    { networks, policy, owner = id, keepNetns }: Declared,
    next: (sandbox: Sandbox) => Promise<void>,
    pid?: number,
  ): Promise<void> {
    // A stop that nobody told us of has left one that was in use.
    if (!keepNetns && !(await this.#netd.occupied(id))) await this.#netd.detach({ id });
    const process = pid === undefined ? {} : { pid };
    const sandbox = await this.#netd.attach({ id, owner, kind: 'container', networks, policy, ...process });
    try {
      await next(sandbox);
    } catch (error) {
      await this.#netd.detach({ id });
      throw error;
    }
  }
}

function settingsOf(text: string): RuntimeSettings {
  return settingsSchema.parse(JSON.parse(text));
}
