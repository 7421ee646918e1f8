import type { KeyValue } from '@eru/store';
import { describe, expect, it } from 'vitest';

import { Table } from './table.ts';

describe('Table', () => {
  it('holds what was put last, under the name after the prefix', () => {
    const table = new Table<{ text: string }>('pods/');
    expect(table.put(kv('pods/b', 5, 'first'))).toMatchObject({ before: undefined, after: { modRevision: 5 } });
    expect(table.put(kv('pods/b', 6, 'second'))).toMatchObject({ before: { value: { text: 'first' } } });
    table.put(kv('pods/a', 7, 'third'));
    expect(table.get('b')?.value.text).toBe('second');
    expect(table.names()).toEqual(['a', 'b']);
    expect([...table].map(([name]) => name)).toEqual(['b', 'a']);
    expect(table.size).toBe(2);
  });

  it('takes no old news: what comes twice or late changes nothing', () => {
    const table = new Table<{ text: string }>('pods/');
    table.put(kv('pods/a', 9, 'new'));
    expect(table.put(kv('pods/a', 9, 'again'))).toBe(false);
    expect(table.put(kv('pods/a', 8, 'late'))).toBe(false);
    expect(table.delete('pods/a', 8)).toBe(false);
    expect(table.get('a')?.value.text).toBe('new');
  });

  it('remembers a deletion until the watch has passed it, so that an older put does not bring the key back', () => {
    const table = new Table<{ text: string }>('pods/');
    table.put(kv('pods/a', 5, 'text'));
    expect(table.delete('pods/a', 9)).toMatchObject({ before: { value: { text: 'text' } } });
    expect(table.put(kv('pods/a', 7, 'late'))).toBe(false);
    table.forget(8);
    expect(table.put(kv('pods/a', 7, 'late'))).toBe(false);
    expect(table.put(kv('pods/a', 10, 'born again'))).toMatchObject({ before: undefined });
    expect(table.size).toBe(1);
  });

  it('remembers a deletion that comes before the put it follows', () => {
    const table = new Table<{ text: string }>('pods/');
    expect(table.delete('pods/a', 9)).toBe(false);
    expect(table.put(kv('pods/a', 5, 'late'))).toBe(false);
    expect(table.size).toBe(0);
    table.forget(9);
    expect(table.put(kv('pods/a', 5, 'of a store restored'))).toMatchObject({ before: undefined });
  });
});

function kv(key: string, modRevision: number, text: string): KeyValue {
  const value = new TextEncoder().encode(JSON.stringify({ v: 1, text }));
  return { key, value, modRevision, createRevision: 1, version: 1, lease: undefined };
}
