import { createColors } from 'picocolors';

import type { Context, Output, Shell } from './context.ts';

/** Waits while the other side is slow, so that a long log does not fill the memory. */
export async function write(stream: Output, data: string | Uint8Array): Promise<void> {
  if (stream.destroyed || stream.write(data) || stream.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'close', 'error']) stream.off(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'error']) stream.on(event, done);
  });
}

/** A line of talk: to standard error, never in the way of data. */
export function say(shell: Shell, text: string): void {
  shell.stderr.write(`${text}\n`);
}

export type Colors = ReturnType<typeof createColors>;

/** None unless a person reads them (https://no-color.org). */
export function colorsFor(stream: Output, env: Shell['env']): Colors {
  return createColors(stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb');
}

export interface View<T> {
  /** What `-o json` and `-o yaml` show. */
  plain: (item: T) => unknown;
  name: (item: T) => string;
  table: (items: readonly T[], colors: Colors) => string;
}

/** A list: one array, one name per line, or one table. */
export async function showList<T>(context: Context, items: readonly T[], view: View<T>): Promise<void> {
  await show(context, items, {
    plain: (all) => all.map((item) => view.plain(item)),
    name: (all) => all.map((item) => view.name(item)).join('\n'),
    table: (all, colors) => view.table(all, colors),
  });
}

/** One thing, in the format that was asked for. */
export async function show<T>(
  { stdout, env, globals }: Context,
  item: T,
  view: { plain: (item: T) => unknown; name: (item: T) => string; table: (item: T, colors: Colors) => string },
): Promise<void> {
  switch (globals.output) {
    case 'json':
      return write(stdout, `${JSON.stringify(view.plain(item), null, 2)}\n`);
    case 'yaml': {
      const { yamlText } = await import('./yaml-text.ts');
      return write(stdout, yamlText(view.plain(item)));
    }
    case 'name': {
      const names = view.name(item);
      return names === '' ? undefined : write(stdout, `${names}\n`);
    }
    case 'table':
      return write(stdout, `${view.table(item, colorsFor(stdout, env))}\n`);
  }
}
