import Table from 'cli-table3';

import type { Colors } from '../output.ts';

const bare = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '   ',
} as const;

/** Columns without lines: easy to read, to cut and to grep. A cell may have several lines. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], colors: Colors): string {
  const made = new Table({
    chars: bare,
    head: head.map((title) => colors.bold(title)),
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  });
  made.push(...rows.map((row) => [...row]));
  return trimLines(made.toString());
}

/** `name  value` lines of one thing; entries without a value are left out. */
export function sheet(entries: readonly (readonly [string, string])[], colors: Colors): string {
  const made = new Table({ chars: bare, style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] } });
  made.push(...entries.filter(([, value]) => value !== '').map(([title, value]) => [colors.bold(title), value]));
  return trimLines(made.toString());
}

function trimLines(text: string): string {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}
