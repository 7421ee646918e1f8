import { EruError } from '@eru/kit';

import type { WorkloadRecord } from '../state/records.ts';

/**
 * The one workload that each word means: its id, its name, or how its id begins. In the words' order, each once.
 * @throws EruError `not_found`, naming the word, when there is none or more than one
 */
export function findWorkloads(records: readonly WorkloadRecord[], words: readonly string[]): WorkloadRecord[] {
  const exact = new Map<string, WorkloadRecord>();
  for (const record of records) {
    exact.set(record.name, record);
    exact.set(record.id, record);
  }
  return [...new Set(words.map((word) => exact.get(word) ?? byPrefix(records, word)))];
}

function byPrefix(records: readonly WorkloadRecord[], word: string): WorkloadRecord {
  const found = word === '' ? [] : records.filter(({ id }) => id.startsWith(word));
  const [first, second] = found;
  if (first === undefined) {
    const isApp = records.some(({ app }) => app === word);
    throw new EruError(
      'not_found',
      isApp
        ? `${word} is an app and no single workload; \`eru ps --app ${word}\` lists its workloads`
        : `no workload is called ${JSON.stringify(word)}, and no id begins so; \`eru ps\` lists them`,
      { details: { word } },
    );
  }
  if (second !== undefined) {
    const some = found.slice(0, 5).map(({ name }) => name);
    throw new EruError(
      'not_found',
      `${JSON.stringify(word)} is not one workload but ${found.length}: ${some.join(', ')}${found.length > some.length ? ', …' : ''}; write more of the id`,
      { details: { word } },
    );
  }
  return first;
}
