import { invalid } from '@eru/kit';

/** Of network names and container ids (specification 1.1.0). They become parts of file names, so nothing else is let through. */
const namePattern = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/** Longer names would not fit into the cache's file names, which hold three of them. */
const nameLengthMax = 80;

export function isName(value: string): boolean {
  return namePattern.test(value) && value.length <= nameLengthMax;
}

export function checkName(field: string, value: string): void {
  if (!isName(value))
    throw invalid(
      field,
      value,
      `write letters, digits, _, . and -, beginning with a letter or digit, at most ${nameLengthMax}`,
    );
}

/** The kernel's rule for interface names. */
export function checkInterfaceName(field: string, value: string): void {
  if (!/^[^/:\s\0]{1,15}$/.test(value) || value === '.' || value === '..')
    throw invalid(field, value, 'write 1 to 15 characters without /, : and white space');
}
