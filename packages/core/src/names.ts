import { EruError, invalid } from '@eru/kit';

/** Longer names do not fit where engines put them (file names, container names). */
const longest = 128;

/** A name that becomes part of a key and of a workload's name: no slash, no blank, nothing invisible. */
export function checkName(field: string, name: string): void {
  if (name.length > longest) throw invalid(field, name, `the longest name is ${longest} characters`);
  if (!/^[^\s/\p{C}]+$/u.test(name) || name === '.' || name === '..')
    throw invalid(field, name, 'write a name without blanks, slashes and control characters');
}

/** The two names that a workload's name is made of, so that it can be taken apart again (`parseName`). */
export function checkWorkloadNames(app: string, entrypoint: string): void {
  if (entrypoint.includes('_'))
    throw new EruError('invalid', "entrypoint name has '_' character", { details: { field: 'entrypoint.name' } });
  checkName('name', app);
  checkName('entrypoint.name', entrypoint);
  if (app.split('_').includes('')) throw invalid('name', app, "'_' stands between two parts");
}
