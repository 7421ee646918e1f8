import { EruError } from '@eru/kit';

/** Versions of the CNI specification that we speak, ascending. 0.1.0 and 0.2.0 have no lists. */
export const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const;

/** Negative, zero or positive, as semver triples. @throws EruError `invalid` for anything that is not one */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [triple(a), triple(b)];
  for (let part = 0; part < 3; part++) {
    const difference = (left[part] ?? 0) - (right[part] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

export function atLeast(version: string, wanted: (typeof supportedVersions)[number]): boolean {
  return compareVersions(version, wanted) >= 0;
}

/**
 * The highest of `cniVersion` and `cniVersions` that we speak (specification 1.1.0, "Configuration format").
 * @throws EruError `unsupported` when there is none; an absent version means 0.1.0, which had no lists
 */
export function chooseVersion(offered: readonly string[], where: string): string {
  const known = offered
    .filter((version) => supportedVersions.some((supported) => compareVersions(supported, version) === 0))
    .toSorted(compareVersions);
  const best = known.at(-1);
  if (best !== undefined) return best;
  throw new EruError(
    'unsupported',
    `${where}: cniVersion: ${offered.length === 0 ? 'none is given' : `${offered.join(', ')} is not supported`}; write one of ${supportedVersions.join(', ')}`,
  );
}

function triple(version: string): number[] {
  const match = /^(\d+)\.(\d+)\.(\d+)$/.exec(version);
  if (match === null)
    throw new EruError('invalid', `cniVersion: ${JSON.stringify(version)} is not three numbers such as 1.0.0`);
  return match.slice(1).map(Number);
}
