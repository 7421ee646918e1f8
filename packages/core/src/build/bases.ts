import { readTar } from '@eru/engines';

/** The images that a Dockerfile begins its stages with; not its own stages, and none that it computes. */
export function basesOf(dockerfile: string): string[] {
  const stages = new Set<string>();
  const bases = new Set<string>();
  for (const [, base = '', stage = ''] of dockerfile.matchAll(
    /^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)(?:[ \t]+AS[ \t]+(\S+))?/gim,
  )) {
    if (base !== 'scratch' && !base.includes('$') && !stages.has(base.toLowerCase())) bases.add(base);
    stages.add(stage.toLowerCase());
  }
  return [...bases];
}

/** Empty for what is no archive, or has no Dockerfile: the builder has the better words for that. */
export function dockerfileIn(archive: Uint8Array): string {
  try {
    const files = readTar(archive);
    const file = files.get('Dockerfile') ?? files.get('./Dockerfile');
    return new TextDecoder().decode(file?.contents);
  } catch {
    return '';
  }
}
