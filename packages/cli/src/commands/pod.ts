import type { pb } from '@eru/contract';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import type { View } from '../output.ts';
import { say, show, showList } from '../output.ts';
import { table } from '../show/table.ts';
import * as values from '../spec/values.ts';

const podView: View<pb.Pod> = {
  plain: ({ name, desc }) => ({ name, description: desc }),
  name: ({ name }) => name,
  table: (pods, colors) =>
    table(
      ['NAME', 'DESCRIPTION'],
      pods.map(({ name, desc }) => [name, desc]),
      colors,
    ),
};

export async function listPods(context: Context): Promise<undefined> {
  const { signal } = context;
  const { pods } = await withConnection(context, ({ core }) => core.listPods({}, { signal }));
  await showList(context, pods, podView);
}

export async function getPod(context: Context, _flags: unknown, name: string): Promise<undefined> {
  const { signal } = context;
  await showPod(context, await withConnection(context, ({ core }) => core.getPod({ name }, { signal })));
}

export async function addPod(context: Context, { desc = '' }: { desc?: string }, word: string): Promise<undefined> {
  const name = values.flagged('pod', values.placeName, word);
  const { signal } = context;
  await showPod(context, await withConnection(context, ({ core }) => core.addPod({ name, desc }, { signal })));
}

export async function removePod(context: Context, _flags: unknown, name: string): Promise<undefined> {
  const { signal } = context;
  await withConnection(context, ({ core }) => core.removePod({ name }, { signal }));
  say(context, `pod ${name} removed`);
}

async function showPod(context: Context, pod: pb.Pod): Promise<void> {
  await show(context, pod, { ...podView, table: (one, colors) => podView.table([one], colors) });
}
