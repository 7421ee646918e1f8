import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { show } from '../output.ts';
import { sheet } from '../show/table.ts';

export async function coreInfo(context: Context): Promise<undefined> {
  const info = await withConnection(context, ({ core }) => core.info({}, { signal: context.signal }));
  const plain = {
    version: info.version,
    revision: info.revison, // the wire's spelling
    build_at: info.buildAt,
    runtime: info.golangVersion,
    os_arch: info.osArch,
    identifier: info.identifier,
  };
  await show(context, plain, {
    plain: (item) => item,
    name: ({ identifier }) => identifier,
    table: (item, colors) => sheet(Object.entries(item), colors),
  });
}
