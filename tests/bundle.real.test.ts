import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, it } from 'vitest';

interface Input {
  format?: 'cjs' | 'esm';
  imports: { path: string; kind: string }[];
}

it('no part of the built command loads CommonJS by itself: bundled, such a module has no names but `default`', async () => {
  const meta = path.join(import.meta.dirname, '../packages/eru/dist/bundle.json');
  const { inputs } = JSON.parse(await readFile(meta, 'utf8')) as { inputs: Record<string, Input> };
  const loaded = Object.entries(inputs).flatMap(([name, { imports }]) =>
    imports.filter(({ kind }) => kind === 'dynamic-import').map(({ path }) => [name, path] as const),
  );
  expect(loaded.length).toBeGreaterThan(0);
  expect(loaded.filter(([, path]) => inputs[path]?.format === 'cjs')).toEqual([]);
});
