import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { write } from '../output.ts';

/** One JSON line per key, in the order of the store, whatever format is asked for. */
export async function storeDump(context: Context, _flags: unknown, prefix = ''): Promise<undefined> {
  const { stdout, signal } = context;
  await withConnection(context, async ({ eru }) => {
    for await (const entry of eru.dumpStore({ prefix }, { signal })) {
      const line = {
        key: entry.key,
        value: valueOf(entry.value),
        create_revision: Number(entry.createRevision),
        mod_revision: Number(entry.modRevision),
        version: Number(entry.version),
        leased: entry.leased,
      };
      await write(stdout, `${JSON.stringify(line)}\n`);
    }
  });
}

/** A value that is no JSON (of somebody else's tool) is a text. */
function valueOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
