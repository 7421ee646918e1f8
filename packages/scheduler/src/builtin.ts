import { affinity } from './affinity/kind.ts';
import { cpumem } from './cpumem/kind.ts';
import { gpu } from './gpu/kind.ts';
import { storage } from './storage/kind.ts';
import type { KindDefinition } from './kind.ts';

/** The kinds that need nothing from outside. */
export function builtinKinds(): KindDefinition[] {
  return [cpumem, storage, gpu, affinity];
}
