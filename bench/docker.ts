import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { connectCore, findCore, type Core } from '@eru/client';
import { EruError, runOk, systemClock } from '@eru/kit';

import { startDockerd, type PrivateDockerd } from './private-dockerd.ts';
import { quantile, type Bench, type Row } from './table.ts';

const eruCommand = path.join(import.meta.dirname, '../../packages/eru/bin/eru.js');
const sleep = ['/bin/sleep', '3600'];
/** Requests to the daemon that follow a deploy (its agent looks at the container) have come by then. */
const settleMs = 1000;

/** One container through Eru against `docker run` of the same image, one by one and many at once, on a dockerd of its own. */
export const dockerBench: Bench = {
  name: 'docker',
  async run({ quick }) {
    const dockerd = await startDockerd();
    if (dockerd === undefined) return [];
    const data = await mkdtemp(path.join(tmpdir(), 'eru-bench-'));
    const eru = (...args: string[]): Promise<unknown> =>
      runOk(process.execPath, [eruCommand, ...args, '--data', data], { timeoutMs: 120_000 });
    try {
      await eru('up', '--detach', '--listen', '127.0.0.1:0', '--docker', dockerd.endpoint);
      const core = connectCore(await findCore({ data }));
      await core.ready();
      const spec = path.join(data, 'bench.yaml');
      await writeFile(
        spec,
        JSON.stringify({
          appname: 'bench',
          pod: 'default',
          image: dockerd.image,
          entrypoints: { web: { commands: sleep } },
        }),
      );
      const bed = { dockerd, core, deploy: () => eru('deploy', spec) };
      try {
        return [...(await oneByOne(bed, quick ? 3 : 20)), ...(await atOnce(bed, quick ? 5 : 50))];
      } finally {
        core.close();
      }
    } finally {
      await eru('down', '--all').catch((error: unknown) => process.stderr.write(`${String(error)}\n`));
      await dockerd.close();
      await rm(data, { recursive: true, force: true });
    }
  },
};

interface Bed {
  dockerd: PrivateDockerd;
  core: Core;
  /** The command `eru deploy`. */
  deploy(): Promise<unknown>;
}

const dockerRun = ({ dockerd }: Bed): Promise<unknown> =>
  dockerd.docker('run', '--detach', '--network', 'host', dockerd.image, ...sleep);

/** The call alone, without asking the registry for the image, as `docker run` does not. */
async function call({ core, dockerd }: Bed, count: number): Promise<void> {
  const entrypoint = { name: 'web', commands: sleep };
  const options = { name: 'bench', podname: 'default', image: dockerd.image, networks: { host: '' }, entrypoint };
  for await (const { event } of core.eru.deploy({ options: { ...options, count, ignorePull: true } })) {
    if (event.case === 'refused') throw new EruError('no_capacity', event.value.message);
    if (event.case === 'done' && !event.value.success) throw new EruError('failed', event.value.error);
  }
}

/** In turns, so that a busy moment of the machine hits all of them. */
async function oneByOne(bed: Bed, rounds: number): Promise<Row[]> {
  const ways = {
    'docker run': () => dockerRun(bed),
    'eru deploy': () => bed.deploy(),
    'Deploy, the call': () => call(bed, 1),
  };
  const samples = new Map<string, { ms: number; requests: number }[]>();
  for (let round = 0; round < rounds; round++)
    for (const [what, way] of Object.entries(ways)) {
      const before = await bed.dockerd.requests();
      const begun = performance.now();
      await way();
      const ms = performance.now() - begun;
      await systemClock.sleep(settleMs);
      samples.set(what, [...(samples.get(what) ?? []), { ms, requests: (await bed.dockerd.requests()) - before }]);
      await clear(bed);
    }
  const median = (what: string, of: 'ms' | 'requests'): number =>
    quantile(
      (samples.get(what) ?? []).map((sample) => sample[of]),
      0.5,
    );
  return Object.keys(ways).flatMap((what): Row[] => [
    { bench: 'docker', what, aspect: 'median', value: median(what, 'ms'), unit: 'ms' },
    ...against('docker run', what, median('docker run', 'ms'), median(what, 'ms')),
    { bench: 'docker', what, aspect: 'to the daemon', value: median(what, 'requests'), unit: 'requests' },
  ]);
}

async function atOnce(bed: Bed, many: number): Promise<Row[]> {
  const each = (way: () => Promise<unknown>) => () => Promise.all(Array.from({ length: many }, way));
  const ways = {
    [`${many} docker run at once`]: each(() => dockerRun(bed)),
    [`${many} calls of Deploy at once`]: each(() => call(bed, 1)),
    [`one Deploy of ${many}`]: () => call(bed, many),
  };
  const rows: Row[] = [];
  let reference = 0;
  for (const [what, way] of Object.entries(ways)) {
    const begun = performance.now();
    await way();
    const ms = performance.now() - begun;
    if (reference === 0) reference = ms;
    rows.push(
      { bench: 'docker', what, aspect: 'all', value: ms, unit: 'ms' },
      ...against('docker run', what, reference, ms),
    );
    await clear(bed);
  }
  return rows;
}

function against(other: string, what: string, reference: number, ms: number): Row[] {
  return ms === reference
    ? []
    : [{ bench: 'docker', what, aspect: `of ${other}`, value: ms / reference, unit: 'times' }];
}

/** Without a grace time, on both sides. */
async function clear({ core, dockerd }: Bed): Promise<void> {
  const ids: string[] = [];
  for await (const { id } of core.core.listWorkloads({ appname: 'bench' })) ids.push(id);
  if (ids.length > 0) for await (const _ of core.core.removeWorkload({ IDs: ids, force: true }));
  const rest = await dockerd.docker('ps', '--quiet');
  if (rest !== '') await dockerd.docker('rm', '--force', ...rest.split('\n'));
}
