import { create, eru } from '@eru/contract';
import { EruError, seededRandom, VirtualClock } from '@eru/kit';
import { expect, test } from 'vitest';

import type { Core } from './core.ts';
import { watchObjects } from './watch-objects.ts';

type Batch = Parameters<typeof create<typeof eru.WatchBatchSchema>>[1];

/** Each call gets the next script: batches, then how it ends. */
function scripted(scripts: { batches: Batch[]; end?: EruError }[], asked: bigint[]): Pick<Core, 'eru'> {
  async function* watch({ fromRevision = 0n }: { fromRevision?: bigint }) {
    asked.push(fromRevision);
    const { batches, end } = scripts[asked.length - 1] ?? { batches: [] };
    for (const batch of batches) yield create(eru.WatchBatchSchema, batch);
    if (end !== undefined) throw end;
  }
  return { eru: { watch } as unknown as Core['eru'] };
}

const pod = (name: string): Batch => ({ revision: 9n, changes: [{ kind: 'pod', name }] });

async function told(core: Pick<Core, 'eru'>, count: number, fromRevision = 0n): Promise<string[]> {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const all: string[] = [];
  const run = (async () => {
    const options = { signal: stop.signal, clock, random: seededRandom(1), fromRevision };
    for await (const event of watchObjects(core, options)) {
      all.push(event.type === 'changes' ? event.changes.map(({ name }) => name).join() : event.type);
      if (all.length === count) stop.abort();
    }
  })();
  await clock.run(run);
  return all;
}

test('goes on from the last revision after a break, and from the beginning when that is gone', async () => {
  const asked: bigint[] = [];
  const core = scripted(
    [
      {
        batches: [{ changes: [{ kind: 'pod', name: 'a' }] }],
        end: new EruError('unavailable', 'died while it listed'),
      },
      { batches: [{ changes: [{ kind: 'pod', name: 'a' }] }, { revision: 5n, listed: true }] },
      { batches: [pod('b')], end: new EruError('internal', 'a bug') },
      { batches: [], end: new EruError('compacted', 'too old') },
      { batches: [{ revision: 20n, listed: true }] },
    ],
    asked,
  );
  expect(await told(core, 8)).toEqual(['reset', 'a', 'reset', 'a', 'listed', 'b', 'reset', 'listed']);
  expect(asked).toEqual([0n, 0n, 5n, 9n, 0n]);
});

test('begins where it is told to, and throws what no other try would change', async () => {
  const asked: bigint[] = [];
  expect(await told(scripted([{ batches: [pod('b')] }], asked), 1, 7n)).toEqual(['b']);
  expect(asked).toEqual([7n]);
  const refused = scripted([{ batches: [], end: new EruError('forbidden', 'no') }], []);
  await expect(told(refused, 2)).rejects.toMatchObject({ code: 'forbidden' });
});
