import { isJsonObject, type Json, type JsonObject } from '@eru/kit';
import type { MachineInfo } from '@eru/scheduler';
import type { MachineOnWire } from './protocol.ts';
import { encode, field } from './wire.ts';

/** What an engine tells of its machine, as `info` of `add-node`. */
export function machineOnWire(node: string, { cpus, memory, storage, resources }: MachineInfo): MachineOnWire {
  const parts = Object.entries(resources).map(([kind, part]) => [kind, Buffer.from(encode(part)).toString('base64')]);
  return {
    Type: 'eru',
    ID: node,
    NCPU: cpus,
    MemTotal: memory,
    StorageTotal: storage,
    Resources: Object.fromEntries(parts) as Record<string, string>,
  };
}

/** `info` of `add-node` as it came, with nothing where there is nothing. */
export function readMachine(info: JsonObject): MachineInfo {
  const amount = (name: string): number => {
    const value = field(info, name);
    return typeof value === 'number' ? value : 0;
  };
  const parts = field(info, 'Resources');
  const resources = Object.entries(isJsonObject(parts) ? parts : {}).flatMap(([kind, encoded]) => {
    const part = typeof encoded === 'string' ? decode(encoded) : undefined;
    return part === undefined ? [] : [[kind, part] as const];
  });
  return {
    cpus: amount('NCPU'),
    memory: amount('MemTotal'),
    storage: amount('StorageTotal'),
    resources: Object.fromEntries(resources),
  };
}

/** Engines put what they like there; what is no JSON object is as if it were not there. */
function decode(encoded: string): JsonObject | undefined {
  try {
    const value = JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')) as Json;
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
