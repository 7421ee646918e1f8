import type { EngineInfo } from '@eru/engines';
import { isEruError } from '@eru/kit';
import type { MachineInfo } from '@eru/scheduler';

import type { Context } from '../context.ts';

export function machineOf({ cpus, memoryBytes, storageBytes, resources }: EngineInfo): MachineInfo {
  return { cpus, memory: memoryBytes, storage: storageBytes, resources };
}

/** What a known node's engine tells of its machine; undefined while it cannot be reached. */
export async function machineAt(context: Context, node: string, signal: AbortSignal): Promise<MachineInfo | undefined> {
  const info = await infoAt(context, node, signal);
  return info && machineOf(info);
}

/** Names of what it runs (`EngineInfo.type`); undefined while it cannot be reached. */
export async function engineTypeAt(context: Context, node: string, signal: AbortSignal): Promise<string | undefined> {
  return (await infoAt(context, node, signal))?.type;
}

async function infoAt(context: Context, node: string, signal: AbortSignal): Promise<EngineInfo | undefined> {
  try {
    return await context.engineOf(node).info({ signal, timeoutMs: context.limits.connectMs });
  } catch (error) {
    if (isEruError(error, 'unavailable') || isEruError(error, 'timeout')) return undefined;
    throw error;
  }
}
