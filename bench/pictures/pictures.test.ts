import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { explain, type Refusal } from '@eru/scheduler';
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

  it('stand beside refusals as people get them', () => {
    const lack = (count: number, lack: Pick<Refusal, 'reason' | 'needed' | 'free' | 'unit'>): Refusal[] =>
      Array.from({ length: count }, (_, index) => ({
        node: `n${index}`,
        kind: 'cpumem',
        ...lack,
        free: index === 0 ? lack.free : 0,
      }));
    const cores = lack(4812, { reason: 'free whole cores', needed: 4, free: 3, unit: 'number' });
    const memory = lack(188, { reason: 'free memory', needed: 8 * 2 ** 30, free: 6 * 2 ** 30, unit: 'bytes' });
    expect(page).toContain(explain([...cores, ...memory]).join('\n'));
  });
});
