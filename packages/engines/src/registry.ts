import type { Registries } from './engine.ts';

/** The registry that an image reference means: what is before its first slash if it has a dot, a port, or is `localhost`; else Docker's own. */
export function registryOf(reference: string): string {
  const slash = reference.indexOf('/');
  const first = slash < 0 ? '' : reference.slice(0, slash);
  return /[.:]/.test(first) || first === 'localhost' ? first : 'docker.io';
}

/** Who we are in the one registry that a reference is about: no other credential goes to an engine for it. */
export function registriesFor(reference: string, registries: Registries): Registries {
  const registry = registryOf(reference);
  const known = registries[registry];
  return known === undefined ? {} : { [registry]: known };
}
