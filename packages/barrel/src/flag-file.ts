import { readFile } from 'node:fs/promises';

import { EruError, invalid } from '@eru/kit';

/** The text of a file that a flag names. @throws EruError `invalid` that names the flag */
export async function readFlagFile(flag: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw invalid(flag, file, `it cannot be read: ${EruError.from(cause).message}`);
  }
}
