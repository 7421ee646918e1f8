import { watchObjects, type WatchObjectsEvent } from '@eru/client';
import type { eru } from '@eru/contract';
import { EruError } from '@eru/kit';

import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { nodeStatus, nodeView } from '../show/node-view.ts';
import { operationLine, plainOperation } from './operations.ts';
import type { Colors } from '../output.ts';
import { colorsFor, write } from '../output.ts';
import { statusText, workloadView } from '../show/workload-view.ts';

interface WatchFlags {
  kind?: string[];
  from?: string;
}

/** `eru watch`: a line for each object there is, then one for each change, until Ctrl-C; with -o json a document per line. */
export async function watch(context: Context, { kind = [], from = '0' }: WatchFlags): Promise<undefined> {
  const { signal, stdout, env, globals } = context;
  if (!/^\d{1,18}$/.test(from))
    throw new EruError(
      'invalid',
      `--from: ${JSON.stringify(from)} is no revision; write the number of an earlier line`,
    );
  const asJson = globals.output === 'json' || globals.output === 'yaml';
  const lines = asJson ? jsonLines : readable(colorsFor(stdout, env), globals.output === 'name');
  await withConnection(context, async (connection) => {
    for await (const event of watchObjects(connection, { kinds: kind, fromRevision: BigInt(from), signal }))
      for (const line of lines(event)) await write(stdout, `${line}\n`);
  }).catch((error: unknown) => {
    // Ctrl-C is how a watch ends.
    if (!signal.aborted) throw error;
  });
}

type Lines = (event: WatchObjectsEvent) => string[];

/** `{"event":"reset"}` before a list, `{"event":"listed"}` after it; an object that is gone is null. */
const jsonLines: Lines = (event) => {
  if (event.type === 'reset') return [JSON.stringify({ event: 'reset' })];
  const revision = Number(event.revision);
  if (event.type === 'listed') return [JSON.stringify({ event: 'listed', revision })];
  return event.changes.map((change) =>
    JSON.stringify({ event: 'changed', revision, kind: change.kind, name: change.name, object: plainObject(change) }),
  );
};

function plainObject({ object }: eru.ObjectChange): unknown {
  switch (object.case) {
    case 'pod':
      return { name: object.value.name, desc: object.value.desc };
    case 'node':
      return nodeView.plain(object.value);
    case 'workload':
      return { ...(workloadView(0).plain(object.value) as object), operation: object.value.operation };
    case 'operation':
      return plainOperation(object.value);
    case undefined:
      return null;
  }
}

function readable(colors: Colors, namesOnly: boolean): Lines {
  /** What those that are gone were called. */
  const names = new Map<string, string>();
  const lineOf = (change: eru.ObjectChange): string => {
    const key = `${change.kind}/${change.name}`;
    const { object } = change;
    if (object.case === 'workload') names.set(key, object.value.record?.name ?? change.name);
    const name = names.get(key) ?? change.name;
    if (object.case === undefined) names.delete(key);
    if (namesOnly) return `${change.kind}/${name}`;
    const parts = [change.kind.padEnd(9), object.case === 'operation' ? '' : name, stateText(change, colors)];
    return parts.filter((part) => part !== '').join('  ');
  };
  return (event) => {
    if (event.type === 'changes') return event.changes.map(lineOf);
    return event.type === 'listed' && !namesOnly ? [colors.dim(`-- as of revision ${event.revision} --`)] : [];
  };
}

function stateText({ object }: eru.ObjectChange, colors: Colors): string {
  switch (object.case) {
    case 'pod':
      return object.value.desc;
    case 'node':
      return `${nodeStatus(object.value, colors)} in pod ${object.value.podname}`;
    case 'workload': {
      const { operation, record } = object.value;
      const busy = operation === '' ? '' : colors.dim(` (operation ${operation})`);
      return `${statusText(object.value, colors)} on ${record?.nodename ?? ''}${busy}`;
    }
    case 'operation':
      return operationLine(object.value, colors);
    case undefined:
      return colors.dim('gone');
  }
}
