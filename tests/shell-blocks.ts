import { readFile } from 'node:fs/promises';
import path from 'node:path';

/** The shell commands of a page of docs/, one text for each fenced block, in their order. */
export async function shellBlocks(page: string): Promise<string[]> {
  const text = await readFile(path.join(import.meta.dirname, '../docs', page), 'utf8');
  return [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block = '']) => block);
}
