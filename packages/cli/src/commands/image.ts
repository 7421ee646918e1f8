import { EruError } from '@eru/kit';

import type { Connection } from '../connection.ts';
import { withConnection } from '../connection.ts';
import type { Context } from '../context.ts';
import { exitCodes } from '../context.ts';
import type { View } from '../output.ts';
import { colorsFor, say, showList } from '../output.ts';
import { table } from '../show/table.ts';

interface Places {
  pod?: string;
  node?: string[];
}

interface Listed {
  node: string;
  id: string;
  tags: string[];
}

const imageView: View<Listed> = {
  plain: (image) => image,
  name: ({ id, tags }) => tags[0] ?? id,
  table: (images, colors) =>
    table(
      ['NODE', 'IMAGE', 'TAGS'],
      images.map(({ node, id, tags }, index) => [
        images[index - 1]?.node === node ? '' : node,
        id.replace(/^sha256:/, '').slice(0, 12),
        tags.join('\n'),
      ]),
      colors,
    ),
};

/** Nodes in name order. What some nodes cannot tell is said, and makes the exit code 1. */
export function listImages(context: Context, flags: Places & { filter?: string }): Promise<number> {
  const { pod: podname = '', node: nodenames = [], filter = '' } = flags;
  return withConnection(context, async ({ core }) => {
    const images: Listed[] = [];
    const failures: string[] = [];
    for await (const answer of core.listImage({ podname, nodenames, filter }, { signal: context.signal })) {
      if (answer.err !== '') failures.push(answer.err);
      images.push(...answer.images.map(({ id, tags }) => ({ node: answer.nodename, id, tags })));
    }
    const key = ({ node, tags, id }: Listed): string => `${node} ${tags[0] ?? ''} ${id}`;
    await showList(
      context,
      images.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)),
      imageView,
    );
    for (const failure of failures) fail(context, failure);
    return failures.length > 0 ? exitCodes.someFailed : exitCodes.ok;
  });
}

export function cacheImages(context: Context, flags: Places, images: string[]): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const places = await placesOf(connection, flags, signal);
    let exitCode: number = exitCodes.ok;
    for await (const answer of connection.core.cacheImage({ ...places, images }, { signal })) {
      const { image, nodename, success, message } = answer;
      if (success) say(context, `${nodename}: ${image} is there`);
      else {
        fail(context, `${nodename}: ${image} failed: ${message}`);
        exitCode = exitCodes.someFailed;
      }
    }
    return exitCode;
  });
}

export function removeImages(context: Context, flags: Places & { prune?: boolean }, images: string[]): Promise<number> {
  return withConnection(context, async (connection) => {
    const { signal } = context;
    const request = { ...(await placesOf(connection, flags, signal)), images, prune: flags.prune ?? false };
    let exitCode: number = exitCodes.ok;
    for await (const { image, success, messages } of connection.core.removeImage(request, { signal })) {
      if (success) say(context, `${image}: ${messages.map((line) => line.replace(/^Clean: /, '')).join(', ')} removed`);
      else {
        fail(context, `${image} failed: ${messages.join(', ')}`);
        exitCode = exitCodes.someFailed;
      }
    }
    return exitCode;
  });
}

/** Core wants a pod, even with nodes. */
async function placesOf(
  { core }: Connection,
  { pod, node: nodenames = [] }: Places,
  signal: AbortSignal,
): Promise<{ podname: string; nodenames: string[] }> {
  if (pod !== undefined) return { podname: pod, nodenames };
  const { pods } = await core.listPods({}, { signal });
  const [only] = pods;
  if (only === undefined || pods.length > 1)
    throw new EruError('invalid', `--pod: missing; there are ${pods.map(({ name }) => name).join(', ') || 'no pods'}`);
  return { podname: only.name, nodenames };
}

function fail(context: Context, text: string): void {
  say(context, colorsFor(context.stderr, context.env).red(text));
}
