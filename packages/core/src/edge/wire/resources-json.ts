import { EruError, invalid, isJsonObject, stableStringify, type JsonObject } from '@eru/kit';
import type { Resources } from '@eru/scheduler';

/** The wire's `map<string, bytes>` of JSON objects: kind -> request. Values that are none are told to `onBad` and left out. */
export function readResources(wire: Readonly<Record<string, Uint8Array>>, onBad: (kind: string) => void): Resources {
  const resources: Record<string, JsonObject> = {};
  for (const [kind, bytes] of Object.entries(wire)) {
    const value = parse(bytes);
    if (isJsonObject(value)) resources[kind] = value;
    else onBad(kind);
  }
  return resources;
}

/** For callers who want to be told. @throws EruError `invalid` */
export function readResourcesStrictly(
  wire: Readonly<Record<string, Uint8Array>>,
  unknownKeys: (resources: Resources) => string[],
): Resources {
  const resources = readResources(wire, (kind) => {
    throw invalid(`resources.${kind}`, new TextDecoder().decode(wire[kind]), 'write a JSON object');
  });
  const asked = Object.fromEntries(Object.entries(resources).filter(([, request]) => Object.keys(request).length > 0));
  const unknown = unknownKeys(asked);
  if (unknown.length > 0)
    throw new EruError('invalid', `resources: this cluster has no resource ${unknown.join(', ')}`, {
      details: { field: 'resources', unknown },
    });
  return resources;
}

/** Keys sorted, as in the original's texts. */
export function resourcesText(resources: Resources | undefined): string {
  return resources === undefined ? 'null' : stableStringify(resources);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
