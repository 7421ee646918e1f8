import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { EruError, seededRandom, silentLogger, type JsonObject, type Random } from '@eru/kit';
import {
  builtinKinds,
  createScheduler,
  externalKind,
  Fleet,
  type NodeResources,
  type PlannedNode,
  type Resources,
  type Scheduler,
} from '@eru/scheduler';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ExternalKinds } from '../external-kinds.ts';
import { failure } from '../failure.ts';
import { Plugin } from '../plugin.ts';
import { NodeFiles } from './node-files.ts';
import { servedKind } from './planner.ts';
import { serve } from './serve.ts';

// The built-in kinds through both sides of the protocol, all but the process in between, against themselves inside.

/** Requests of nodes, workloads and changes by kind; a kind that is not here is asked for nothing. */
const requests: Readonly<
  Record<string, { node: JsonObject; deploy: (random: Random) => JsonObject; realloc: (random: Random) => JsonObject }>
> = {
  cpumem: {
    node: { cpu: 8, memory: 8000, 'numa-cpu': ['0,2,4,6', '1,3,5,7'] },
    deploy: (random) => ({
      'cpu-bind': random.int(2) === 0,
      'cpu-request': (1 + random.int(20)) / 10,
      'memory-request': random.int(900),
    }),
    realloc: (random) => ({
      'cpu-request': (random.int(12) - 4) / 10,
      'memory-request': random.int(300) - 100,
      'keep-cpu-bind': random.int(4) > 0,
    }),
  },
  storage: {
    node: {
      volumes: ['/d1:400', '/d2:300', '/d3:500'],
      storage: '2000',
      disks: ['sda:/d1:100:100:1G:1G', 'sdb:/d2,/d3:200:200:1G:1G'],
    },
    deploy: (random) => ({
      volumes: [
        'AUTO:/x:rw:40',
        ...(random.int(2) === 0 ? ['AUTO:/y:rw:10:5:5'] : []),
        ...(random.int(5) === 0 ? ['AUTO:/m:rwm:10'] : []),
      ],
      storage: String(random.int(50)),
    }),
    realloc: (random) => ({ volumes: [`AUTO:/x:rw:${random.int(40) - 10}`], storage: String(random.int(20)) }),
  },
  gpu: {
    node: { prod_count_map: { a100: 6, t4: 4 } },
    deploy: (random) => ({ prod_count_map: random.int(2) === 0 ? { a100: 1 } : { t4: 1 } }),
    realloc: (random) => ({ prod_count_map: { a100: random.int(3) - 1 } }),
  },
  affinity: {
    node: { labels: { zone: 'a' } },
    deploy: (random) => ({
      labels: { app: `app${random.int(3)}` },
      ...(random.int(3) === 0 ? { exclusive: 'alike' } : {}),
    }),
    realloc: () => ({}),
  },
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-differential-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A refusal comes as a process would bring it: as its words. */
async function plugin(index: number): Promise<Plugin> {
  const served = servedKind(builtinKinds()[index] as ReturnType<typeof builtinKinds>[number]);
  const files = await NodeFiles.open(path.join(folder, served.kind.name));
  return new Plugin({
    name: served.kind.name,
    path: '',
    folder: '',
    timeoutMs: 0,
    admit: (call) => call(),
    run: (call) =>
      serve(served, files, call.command, call.input).catch((error: EruError) => {
        throw failure(call, 'refused', '', error.message);
      }),
  });
}

test.each([1, 2])(
  'what is decided and counted outside is what is inside (seed %i)',
  { timeout: 60_000 },
  async (seed) => {
    const random = seededRandom(seed);
    const inside = createScheduler({ kinds: builtinKinds() });
    const outside = createScheduler({ kinds: inside.kinds.map(({ name }) => externalKind(name)) });
    const kinds = new ExternalKinds(await Promise.all(inside.kinds.map((_kind, index) => plugin(index))), {
      logger: silentLogger,
    });
    const names = ['n1', 'n2', 'n3'];
    // Now and then a kind is not mentioned.
    const ask = (of: 'deploy' | 'realloc'): Resources =>
      Object.fromEntries(
        inside.kinds.filter(() => random.int(4) > 0).map(({ name }) => [name, requests[name]?.[of](random) ?? {}]),
      );

    const nodes = new Map<string, NodeResources>();
    const held = new Map(names.map((name) => [name, new Map<string, Resources>()]));
    const nodeOf = (name: string): NodeResources => nodes.get(name) as NodeResources;
    const fleetOf = (scheduler: Scheduler): Fleet => {
      const fleet = new Fleet(scheduler);
      for (const name of names) fleet.set(planned(name));
      return fleet;
    };
    const planned = (name: string): PlannedNode => ({ name, labels: { zone: 'a' }, resources: nodeOf(name) });
    const machine = { cpus: 8, memory: 1, storage: 1, resources: {} };
    for (const name of names) {
      const request = Object.fromEntries(inside.kinds.map(({ name }) => [name, requests[name]?.node ?? {}]));
      nodes.set(name, inside.addNode(request, machine));
      expect(await kinds.addNode(name, request, machine)).toEqual(nodes.get(name));
    }

    let placed = 0;
    let changed = 0;
    for (let step = 0; step < 25; step += 1) {
      const name = names[random.int(names.length)] as string;
      const workloads = held.get(name) as Map<string, Resources>;
      const resources = ask('deploy');
      const context = `seed ${seed}, step ${step}, ${JSON.stringify(resources)}`;

      const counts = new Map<string, number>();
      const request = {
        resources,
        candidates: [name],
        strategy: 'AUTO',
        count: 1 + random.int(2),
        nodesLimit: 0,
        counts,
      } as const;
      const asked = await kinds.ask([name], resources);
      const [expected, plan] = [
        inside.plan(fleetOf(inside), request),
        outside.plan(fleetOf(outside), { ...request, asked }),
      ];
      expect(plan.ok, context).toBe(expected.ok);
      if (plan.ok && expected.ok) {
        const instances = await kinds.allot(plan.instances, resources);
        expect(instances, context).toEqual(expected.instances);
        const booked = instances.map((instance) => instance.resources);
        await kinds.book(name, booked, 'add');
        nodes.set(name, inside.book(nodeOf(name), booked, []));
        for (const each of booked) workloads.set(`w${(placed += 1)}`, each);
      }

      for (const [id, current] of [...workloads].slice(0, 2)) {
        if (random.int(3) === 0) {
          await kinds.book(name, [current], 'subtract');
          nodes.set(name, inside.book(nodeOf(name), [], [current]));
          workloads.delete(id);
          continue;
        }
        const delta = ask('realloc');
        const wanted = refusable(() => inside.realloc(planned(name), current, delta));
        const answer = await kinds.realloc(name, current, delta).catch(() => undefined);
        expect(answer !== undefined, `${context}, ${JSON.stringify(delta)}`).toBe(wanted?.ok === true);
        if (answer === undefined || wanted?.ok !== true) continue;
        expect(outside.realloc(planned(name), current, delta, answer.asked), context).toEqual(wanted);
        await kinds.book(name, [answer.delta], 'add');
        if (random.int(3) === 0) {
          await kinds.book(name, [answer.delta], 'subtract');
          continue;
        }
        nodes.set(name, inside.book(nodeOf(name), [wanted.resources], [current]));
        workloads.set(id, wanted.resources);
        changed += 1;
      }

      const { differences, ...stored } = await kinds.info(name, [...workloads.values()]);
      expect({ differences, stored }, context).toEqual({ differences: [], stored: nodeOf(name) });
      const remapped = outside.remap(nodeOf(name), workloads, await kinds.remap(name, workloads));
      expect(remapped, context).toEqual(inside.remap(nodeOf(name), workloads));
      expect(await kinds.metrics('p', name), context).toEqual(inside.metrics('p', name, nodeOf(name)));
    }
    expect(placed).toBeGreaterThan(10);
    expect(changed).toBeGreaterThan(5);
  },
);

/** Bad input is refused on both sides; how is the kind's own test. */
function refusable<T>(decide: () => T): T | undefined {
  try {
    return decide();
  } catch (error) {
    expect(error).toMatchObject({ code: 'invalid' } satisfies Partial<EruError>);
    return undefined;
  }
}
