import { cpumem } from './cpumem/kind.ts';
import type { KindDefinition } from './kind.ts';

/** The kinds that need nothing from outside. */
export function builtinKinds(): KindDefinition[] {
  return [cpumem];
}
