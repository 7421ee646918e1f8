import type { eru } from '@eru/contract';

import { engineCallMs, withConnection } from '../connection.ts';
import { exitCodes, type Context } from '../context.ts';
import { show } from '../output.ts';
import { table } from '../show/table.ts';

/** `eru node check`: exit code 1 when there are differences, mended or not. */
export async function checkNode(context: Context, { fix = false }: { fix?: boolean }, node: string): Promise<number> {
  const { signal } = context;
  const checked = await withConnection(context, ({ eru }) =>
    eru.checkNode({ node, fix }, { signal, timeoutMs: engineCallMs }),
  );
  await show(context, checked, {
    plain,
    name: ({ diffs }) => diffs.map(({ object }) => object).join('\n'),
    table: ({ ok, diffs }, colors) =>
      ok
        ? `${node}: ${colors.green('ok')}`
        : table(
            ['KIND', 'OBJECT', 'RECORDED', 'FOUND', 'ACTION'],
            diffs.map(({ kind, object, recorded, found, action }) => [kind, object, recorded, found, action]),
            colors,
          ),
  });
  return checked.ok ? exitCodes.ok : exitCodes.someFailed;
}

function plain({ node, ok, diffs }: eru.CheckNodeResponse): object {
  return {
    node,
    ok,
    diffs: diffs.map(({ kind, object, recorded, found, action }) => ({ kind, object, recorded, found, action })),
  };
}
