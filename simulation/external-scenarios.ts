import { EruError } from '@eru/kit';
import { addNode, removeNode, setNode } from '@eru/core';

import { scenarios, type Scenario } from './scenarios.ts';
import type { LivingCore, World } from './world.ts';

const never = new AbortController().signal;
const nothing = { exists: [], gone: [] };

/** Those of the sweep that change what is booked outside. */
const changing = [
  'create',
  'create that nobody waits for',
  'create whose start is refused',
  'lambda',
  'remove',
  'dissociate',
  'realloc',
  'realloc that the engine refuses',
  'replace in place',
  'replace with overlap',
  'replace with overlap behind a gate that stays shut',
];

const engines = (world: World) => ({
  get: (endpoint: string) => {
    const machine = world.machines.get(endpoint.replace('mock://', ''));
    if (machine === undefined) throw new EruError('not_found', `no machine at ${endpoint}`);
    return machine.engine();
  },
});

const noCertificate = { ca: '', cert: '', key: '', labels: {} };

const add = (world: World, { core }: LivingCore): Promise<unknown> =>
  addNode(
    core.context,
    core.membership.current(),
    engines(world),
    { ...noCertificate, name: 'n9', endpoint: 'mock://n0', pod: 'pod', resources: { seats: { n: 3 } }, test: true },
    never,
  );

/** The sweep of the crash suite with a kind whose usage lives elsewhere, and what happens only with such. */
export const externalScenarios: Scenario[] = [
  ...changing.map((name): Scenario => {
    const scenario = scenarios.find((one) => one.name === name);
    if (scenario === undefined) throw new EruError('internal', `there is no scenario ${name}`);
    return { ...scenario, external: true };
  }),
  {
    name: 'create that the kind refuses on one node',
    external: true,
    run: async (world, core) => {
      if (world.kinds !== undefined)
        world.kinds.refuse = (_call, node) => {
          if (node === 'n1') throw new EruError('failed', 'seats: the licence server is down');
        };
      try {
        for await (const _event of world.deploy(core, 3)) continue;
      } finally {
        if (world.kinds !== undefined) world.kinds.refuse = () => {};
      }
      return nothing;
    },
  },
  {
    name: 'add node',
    external: true,
    run: async (world, core) => {
      await add(world, core);
      return nothing;
    },
    check: async (world) =>
      (await world.nodeNames()).includes('n9') === world.kinds?.nodes.has('n9') ? [] : ['n9 is half known'],
  },
  {
    name: 'remove node',
    external: true,
    prepare: async (world, core) => {
      await add(world, core);
      return [];
    },
    run: async (_world, { core }) => {
      await removeNode(core.context, core.membership.current(), 'n9', never);
      return nothing;
    },
    check: async (world) =>
      (await world.nodeNames()).includes('n9') === world.kinds?.nodes.has('n9') ? [] : ['n9 is half known'],
  },
  {
    name: 'set node',
    external: true,
    run: async (world, { core }) => {
      const request = { ...noCertificate, name: 'n1', endpoint: '', resources: { seats: { n: 9 } }, delta: false };
      await setNode(core.context, core.membership.current(), engines(world), { ...request, cordon: undefined });
      return nothing;
    },
  },
];
