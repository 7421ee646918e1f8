import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';

import type { JsonObject } from '@eru/kit';
import { EruError, isErrno, isJsonObject, readIfExists, writeFileAtomic } from '@eru/kit';

import type { CniResult } from './result.ts';

/** An interface of a container on a network; at most one of each. */
export interface AttachmentKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** How an attachment was made: what DEL needs to undo just that. */
export interface CachedAttachment extends AttachmentKey {
  /** The configuration list as JSON text. */
  readonly config: string;
  readonly netns: string;
  readonly args: readonly (readonly [string, string])[];
  readonly capabilities: JsonObject;
  /** What the last plugin answered; while ADD has not come to its end, the last one that did. */
  readonly result?: CniResult;
  readonly complete: boolean;
}

/**
 * One file per attachment, in the Go library's format (`cniCacheV1`), so that its tools can read them. Give it a folder of
 * its own: another runtime's GC must not see ours.
 */
export class AttachmentCache {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = path.join(folder, 'results');
  }

  /** `durable` = on disk when this resolves. Else it outlives this process, but not the machine, whose kernel then forgets the rest too. */
  async write(attachment: CachedAttachment, durable: boolean): Promise<void> {
    const { network, containerId, ifname, config, netns, args, capabilities, result, complete } = attachment;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    const record = {
      kind: 'cniCacheV1',
      containerId,
      config: Buffer.from(config).toString('base64'),
      ifName: ifname,
      networkName: network,
      netns,
      ...(args.length > 0 && { cniArgs: args }),
      ...(Object.keys(capabilities).length > 0 && { capabilityArgs: capabilities }),
      // Under a key of our own, so that nobody else takes a part for the whole.
      ...(result !== undefined && { [complete ? 'result' : 'partialResult']: result }),
    };
    const file = this.#file(attachment);
    if (durable) return writeFileAtomic(file, JSON.stringify(record), 0o600);
    await writeFile(`${file}.tmp`, JSON.stringify(record), { mode: 0o600 });
    await rename(`${file}.tmp`, file);
  }

  async read(key: AttachmentKey): Promise<CachedAttachment | undefined> {
    const text = await readIfExists(this.#file(key));
    return text === undefined ? undefined : parse(text, this.#file(key));
  }

  async remove(key: AttachmentKey): Promise<void> {
    await rm(this.#file(key), { force: true });
  }

  /** All attachments; files that are none of ours are left alone. */
  async list(): Promise<CachedAttachment[]> {
    let files: string[];
    try {
      files = await readdir(this.#folder);
    } catch (error) {
      if (isErrno(error, 'ENOENT')) return [];
      throw error;
    }
    const found = await Promise.all(
      files
        .filter((file) => !file.endsWith('.tmp'))
        .toSorted()
        .map(async (file) => {
          const text = await readIfExists(path.join(this.#folder, file));
          return text === undefined ? undefined : parse(text, path.join(this.#folder, file));
        }),
    );
    return found.filter((attachment) => attachment !== undefined);
  }

  #file({ network, containerId, ifname }: AttachmentKey): string {
    return path.join(this.#folder, `${network}-${containerId}-${ifname}`);
  }
}

/** Undefined for what is not a record of this kind, such as the bare results of old libraries. */
function parse(text: string, file: string): CachedAttachment | undefined {
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch (cause) {
    throw new EruError('failed', `${file} is damaged: ${EruError.from(cause).message}; remove it by hand`, { cause });
  }
  if (!isJsonObject(record) || record['kind'] !== 'cniCacheV1') return undefined;
  const {
    containerId,
    config,
    ifName,
    networkName,
    netns = '',
    cniArgs = [],
    capabilityArgs = {},
    result,
    partialResult,
  } = record;
  const last = result ?? partialResult;
  return {
    network: networkName as string,
    containerId: containerId as string,
    ifname: ifName as string,
    config: Buffer.from(config as string, 'base64').toString('utf8'),
    netns: netns as string,
    args: (cniArgs ?? []) as [string, string][],
    capabilities: (capabilityArgs ?? {}) as JsonObject,
    ...(isJsonObject(last) && { result: last as unknown as CniResult }),
    complete: isJsonObject(result),
  };
}
