import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { day } from './day.ts';
import { pictures } from './pages.ts';

const docs = path.join(import.meta.dirname, '../../docs');
const page = readFileSync(path.join(docs, 'planner.md'), 'utf8');

describe('the pictures of docs/planner.md', () => {
  it('are what the planner decides today (else: npm run pictures)', () => {
    const committed = readdirSync(path.join(docs, 'planner')).map(
      (file) => [file, readFileSync(path.join(docs, 'planner', file), 'utf8')] as const,
    );
    const drawn = pictures();
    expect(new Set(committed.map(([file]) => file))).toEqual(new Set(drawn.keys()));
    for (const [file, svg] of committed) expect(svg, file).toBe(drawn.get(file));
  });

  it('are all on the page, and so is the refusal that ends the day', () => {
    for (const file of pictures().keys()) expect(page).toContain(`(planner/${file})`);
    const refusal = day().flatMap((scene) => scene.refusal);
    expect(refusal).not.toEqual([]);
    for (const line of refusal) expect(page).toContain(line);
  });
});
