import { EruError, isJsonObject, type Json, type JsonObject } from '@eru/kit';

// Documents that people hand in: every complaint says where, what, and what to write instead.

export function objectAt(value: Json | undefined, where: string, example: string): JsonObject {
  if (isJsonObject(value)) return value;
  throw complaint(where, value, `write ${example}`);
}

export function textAt(value: Json | undefined, where: string, what: string): string {
  if (typeof value === 'string' && value !== '') return value;
  throw complaint(where, value, `write ${what}`);
}

export function labelsAt(value: Json | undefined, where: string): Record<string, string> {
  const labels = objectAt(value ?? {}, where, 'an object such as {"zone": "east"}');
  return Object.fromEntries(
    Object.entries(labels).map(([name, text]) => {
      if (typeof text !== 'string') throw complaint(`${where}.${name}`, text, 'write a text');
      return [name, text];
    }),
  );
}

/** Kind -> object. */
export function resourcesAt(value: Json | undefined, where: string): Record<string, JsonObject> {
  const kinds = objectAt(value ?? {}, where, 'an object of resource kinds such as {"cpumem": {}}');
  return Object.fromEntries(
    Object.entries(kinds).map(([kind, part]) => [kind, objectAt(part, `${where}.${kind}`, 'an object')]),
  );
}

export function wholeAt(value: Json | undefined, where: string, least: number): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
  throw complaint(where, value, `write a whole number from ${least}`);
}

export function onlyKeys(value: JsonObject, where: string, known: readonly string[]): void {
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  throw complaint(where === '' ? unknown : `${where}.${unknown}`, value[unknown], `the keys are ${known.join(', ')}`);
}

export function complaint(where: string, value: Json | undefined, remedy: string): EruError {
  const text = JSON.stringify(value) ?? 'nothing';
  const shown = text.length > 60 ? `${text.slice(0, 57)}...` : text;
  return new EruError('invalid', `${where}: ${shown} is not allowed; ${remedy}`, {
    details: { field: where, value, remedy },
  });
}
