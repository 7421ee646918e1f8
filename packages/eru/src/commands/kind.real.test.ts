import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { spawn, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run, seededRandom, silentLogger, type JsonObject, type RunResult } from '@eru/kit';
import { openExternalKinds, type ExternalKinds } from '@eru/plugins';
import {
  builtinKinds,
  createScheduler,
  externalKind,
  Fleet,
  type KindDefinition,
  type NodeResources,
  type PlannedNode,
  type Resources,
} from '@eru/scheduler';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

// The built command as a plugin of our own plugins package.

const command = path.join(import.meta.dirname, '../../bin/eru.js');
const examples = path.join(import.meta.dirname, '../../../../examples/kinds');

let root: string;
let folder: string;
let before: string | undefined;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'eru-kind-'));
  folder = path.join(root, 'plugins');
  await mkdir(folder, { mode: 0o755 });
  await mkdir(path.join(root, 'bin'));
  await symlink(command, path.join(root, 'bin/eru'));
  before = process.env['PATH'];
  process.env['PATH'] = `${path.join(root, 'bin')}:${before}`;
});
afterEach(async () => {
  process.env['PATH'] = before;
  await rm(root, { recursive: true, force: true });
});

async function install(name: string, script?: string): Promise<void> {
  const file = path.join(folder, name);
  if (script === undefined) await copyFile(path.join(examples, name), file);
  else await writeFile(file, script);
  await chmod(file, 0o755);
}

/** The two lines of docs/kinds.md. */
const builtinScript = (name: string): string => `#!/bin/sh\nexec eru kind ${name} "$@"\n`;

const open = (): Promise<ExternalKinds> => openExternalKinds({ dir: folder, taken: [], logger: silentLogger });

const eru = (args: readonly string[], input = ''): Promise<RunResult> =>
  run(command, ['kind', ...args], { input, cwd: folder });

describe('a built-in kind as an executable', () => {
  const machine = { cpus: 4, memory: 4000, storage: 0, resources: {} };
  const names = ['n1', 'n2', 'n3'];

  test('decides and counts as it does inside', { timeout: 120_000 }, async () => {
    const seed = 20_261;
    const random = seededRandom(seed);
    const scheduler = createScheduler({ kinds: inNameOrder(builtinKinds()) });
    for (const { name } of scheduler.kinds) await install(name, builtinScript(name));
    const kinds = await open();
    expect(kinds.names).toEqual(scheduler.kinds.map(({ name }) => name));
    const outside = createScheduler({ kinds: kinds.names.map((name) => externalKind(name)) });

    const nodes = new Map<string, NodeResources>();
    const workloads = new Map(names.map((name) => [name, new Map<string, Resources>()]));
    for (const [index, name] of names.entries()) {
      const cores = Array.from({ length: 4 + 2 * index }, (_, core) => core);
      const numa =
        index === 0 ? {} : { 'numa-cpu': [0, 1].map((side) => cores.filter((core) => core % 2 === side).join(',')) };
      const request = { cpumem: { cpu: cores.length, memory: 1000 * (index + 1), ...numa } };
      nodes.set(name, scheduler.addNode(request, machine));
      expect(await kinds.addNode(name, request, machine)).toEqual(nodes.get(name));
    }
    const asPlanned = (name: string): PlannedNode => ({
      name,
      labels: {},
      resources: nodes.get(name) as NodeResources,
    });
    const fleet = (of = scheduler): Fleet => {
      const fleet = new Fleet(of);
      for (const name of names) fleet.set(asPlanned(name));
      return fleet;
    };
    const demand = (): Resources => ({
      cpumem: {
        'cpu-bind': random.int(2) === 0,
        'cpu-request': 0.1 + random.int(20) / 10,
        'memory-request': random.int(300),
      },
    });

    for (let step = 0; step < 4; step += 1) {
      const resources = demand();
      const node = names[random.int(names.length)] as string;
      const held = workloads.get(node) as Map<string, Resources>;
      const context = `seed ${seed}, step ${step}, ${JSON.stringify(resources)}`;

      // A plan over all nodes, from outside answers, is the plan from inside.
      const request = {
        resources,
        candidates: names,
        strategy: 'AUTO',
        count: 1 + random.int(3),
        nodesLimit: 0,
        counts: new Map(),
      } as const;
      const asked = await kinds.ask(names, resources);
      const [inside, external] = [
        scheduler.plan(fleet(), request),
        outside.plan(fleet(outside), { ...request, asked }),
      ];
      expect(external.ok, context).toBe(inside.ok);
      if (!inside.ok || !external.ok) continue;
      const instances = await kinds.allot(external.instances, resources);
      expect(instances, context).toEqual(inside.instances);
      for (const [index, instance] of instances.entries()) {
        nodes.set(instance.node, scheduler.book(nodes.get(instance.node) as NodeResources, [instance.resources], []));
        await kinds.book(instance.node, [instance.resources], 'add');
        workloads.get(instance.node)?.set(`w${step}-${index}`, instance.resources);
      }

      const [id, current] = [...held][0] ?? [];
      if (id === undefined || current === undefined) continue;
      const memory = Number(current['cpumem']?.['memory_request']);
      const more = {
        'cpu-request': random.int(10) / 10,
        'memory-request': random.int(2) === 0 ? random.int(1000) : -Math.floor(memory / 2),
      };
      const delta = { cpumem: { ...more, 'keep-cpu-bind': random.int(3) > 0 } };
      const expected = scheduler.realloc(asPlanned(node), current, delta);
      if (expected.ok) {
        const { asked, delta: difference } = await kinds.realloc(node, current, delta);
        const answered = outside.realloc(asPlanned(node), current, delta, asked);
        expect(answered, context).toEqual(expected);
        await kinds.book(node, [difference], 'add');
        nodes.set(node, scheduler.book(nodes.get(node) as NodeResources, [expected.resources], [current]));
        held.set(id, expected.resources);
      } else await expect(kinds.realloc(node, current, delta), context).rejects.toMatchObject({ code: 'no_capacity' });

      const remapped = scheduler.remap(nodes.get(node) as NodeResources, held);
      expect(outside.remap(nodes.get(node) as NodeResources, held, await kinds.remap(node, held)), context).toEqual(
        remapped,
      );
      const { differences, ...stored } = await kinds.info(node, [...held.values()]);
      expect(stored, context).toEqual(nodes.get(node));
      expect(differences, context).toEqual([]);
    }

    const { differences, ...fixed } = await kinds.fix('n1', []);
    const diff = scheduler.diff(nodes.get('n1') as NodeResources, []);
    expect({ differences, fixed }).toEqual({ differences: diff.lines, fixed: diff.fixed });
    await kinds.setCapacity('n1', { cpumem: { memory: '1K' } }, { delta: true });
    const grown = scheduler.setCapacity(diff.fixed, { cpumem: { memory: '1K' } }, { delta: true });
    expect((await kinds.info('n1', [])).capacity).toEqual(grown.capacity);
    expect(await kinds.metricDescriptions()).toEqual(scheduler.metricDescriptions);
    expect(await kinds.metrics('p', 'n1')).toEqual(scheduler.metrics('p', 'n1', grown));
    await kinds.removeNode('n1');
    await expect(kinds.ask(['n1'], {})).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringContaining('bad `Count` value, entity count invalid'),
    });
  });

  test('loses nothing when calls meet, or are killed', async () => {
    await install('cpumem', builtinScript('cpumem'));
    const kinds = await open();
    await kinds.addNode('n/1', undefined, machine);
    const one = { cpumem: { cpu_request: 0.1, memory_request: 10 } };
    await Promise.all(Array.from({ length: 12 }, () => kinds.book('n/1', [one], 'add')));
    const used = async (): Promise<number> => Number((await kinds.info('n/1', [])).usage['cpumem']?.['memory']);
    expect(await used()).toBe(120);

    const input = JSON.stringify({
      nodename: 'n/1',
      workloads_resource: [one.cpumem],
      resource: null,
      resource_request: null,
      delta: true,
      incr: true,
    });
    const random = seededRandom(7);
    const answered = await Promise.all(
      Array.from({ length: 10 }, async () => {
        const child = spawn(path.join(folder, 'cpumem'), ['set-node-resource-usage'], { cwd: folder });
        child.stdin.end(input);
        setTimeout(() => child.kill('SIGKILL'), 50 + random.int(400));
        return new Promise((resolve) => child.once('exit', (code) => resolve(code === 0)));
      }),
    );
    const after = await used();
    expect(after % 10).toBe(0);
    expect(after).toBeGreaterThanOrEqual(120 + 10 * answered.filter(Boolean).length);
    expect(after).toBeLessThanOrEqual(220);
    await kinds.fix('n/1', [one]);
    expect(await used()).toBe(10);
  });

  test('speaks the exact forms, reads the settings, and ends with 128 on errors', async () => {
    const config = path.join(root, 'core.yaml');
    await writeFile(config, 'etcd: { machines: [127.0.0.1:2379] }\nscheduler: { sharebase: 10, maxshare: 1 }\n');
    const cpumem = (command: string, request: JsonObject): Promise<RunResult> =>
      eru(['cpumem', command, '--state', path.join(root, 'state'), '--config', config], JSON.stringify(request));
    expect(await cpumem('add-node', { nodename: 'n1', resource: { cpu: 1, memory: 100 }, info: null })).toEqual({
      code: 0,
      stdout:
        '{"capacity":{"cpu":1,"cpu_map":{"0":10},"memory":100,"numa":{},"numa_memory":{}},"usage":{"cpu":0,"cpu_map":{"0":0},"memory":0,"numa":{},"numa_memory":{}}}\n',
      stderr: '',
    });
    expect(await cpumem('get-nodes-deploy-capacity', { nodenames: ['n1'], workload_resource: null })).toMatchObject({
      code: 0,
      stdout:
        '{"nodes_deploy_capacity_map":{"n1":{"Capacity":9223372036854775807,"Usage":0,"Rate":0,"Weight":1}},"total":9223372036854775807}\n',
    });
    const errors: [() => Promise<RunResult>, string][] = [
      [() => cpumem('add-node', { nodename: 'n1' }), 'node already exists'],
      [() => cpumem('add-node', { nodename: '' }), 'nodename: node name is empty'],
      [
        () => cpumem('calculate-deploy', { nodename: 'n2' }),
        'key: /resource/cpumem/n2: bad `Count` value, entity count invalid',
      ],
      [
        () =>
          cpumem('calculate-deploy', { nodename: 'n1', deploy_count: 2, workload_resource_request: { memory: 60 } }),
        'need: 2, available: 1: cannot alloc a plan, not enough resource',
      ],
      [() => cpumem('dance', {}), 'unknown command dance; there are name, calculate-deploy,'],
      [() => eru(['cpumen', 'name']), 'kind cpumen: not built in; did you mean cpumem?'],
      [() => eru(['./gone', 'name']), 'no such file or directory'],
    ];
    for (const [call, message] of errors) {
      const { code, stdout, stderr } = await call();
      expect([code, stdout]).toEqual([128, '']);
      expect(stderr).toContain(message);
    }
    expect((await readdir(path.join(root, 'state'))).sort()).toEqual(['n1.json']);
  });
});

describe('the examples', () => {
  const machine = { cpus: 1, memory: 0, storage: 0, resources: {} };

  test('licences: a file of amounts', async () => {
    await install('licences');
    const kinds = await open();
    const seats = { licences: { matlab: 2 } };
    expect(await kinds.addNode('n1', { licences: { matlab: 5 } }, machine)).toEqual({
      capacity: { licences: { matlab: 5, ansys: 2 } },
      usage: { licences: { matlab: 0, ansys: 0 } },
    });
    const instances = await deploy(kinds, seats, 2);
    expect(instances.map(({ resources, engineParams }) => [resources, engineParams])).toEqual([
      [seats, seats],
      [seats, seats],
    ]);
    await kinds.book(
      'n1',
      instances.map(({ resources }) => resources),
      'add',
    );
    const rooms = async (): Promise<unknown> => (await kinds.ask(['n1'], seats))['licences']?.capacities?.get('n1');
    expect(await rooms()).toBeUndefined();
    await expect(kinds.book('n1', [seats], 'add')).rejects.toMatchObject({
      code: 'no_capacity',
      message:
        'plugin licences, set-node-resource-usage: matlab: 6 used of 5: cannot alloc a plan, not enough resource',
    });
    const { asked, delta } = await kinds.realloc('n1', seats, { licences: { matlab: -1 } });
    expect([asked['licences']?.realloc, delta]).toEqual([
      { resources: { matlab: 1 }, engineParams: { matlab: 1 } },
      { licences: { matlab: -1 } },
    ]);
    await kinds.book('n1', [delta], 'add');
    expect(await rooms()).toMatchObject({ count: 1, usage: 0.6, rate: 0.4 });
    expect((await kinds.fix('n1', [seats])).differences).toEqual([
      'node.licences[matlab] != sum(workload.licences[matlab]): 3 != 2',
    ]);
    await expect(kinds.ask(['n1'], { licences: { mathlab: 1 } })).rejects.toMatchObject({
      message: expect.stringContaining('licences.mathlab: unknown; did you mean matlab?'),
    });
    await kinds.setCapacity('n1', { licences: { matlab: 3 } }, { delta: false });
    expect((await kinds.metrics('p', 'n1')).map(({ key, value }) => `${key}=${value}`)).toEqual([
      'core.node.n1.licences.matlab.capacity=3',
      'core.node.n1.licences.matlab.used=2',
      'core.node.n1.licences.ansys.capacity=2',
      'core.node.n1.licences.ansys.used=0',
    ]);
  });

  test.runIf(spawnSync('python3', ['-c', '']).status === 0)('bandwidth: a program that decides', async () => {
    await install('bandwidth');
    const kinds = await open();
    await kinds.addNode('n1', { bandwidth: { uplinks: { eth0: 1000, eth1: '1000' } } }, machine);
    const request = { bandwidth: { mbps: 400 } };
    const instances = await deploy(kinds, request, 3);
    expect(instances.map(({ engineParams }) => engineParams['bandwidth'])).toEqual([
      { uplink: 'eth0', mbps: 400 },
      { uplink: 'eth0', mbps: 400 },
      { uplink: 'eth1', mbps: 400 },
    ]);
    await kinds.book(
      'n1',
      instances.map(({ resources }) => resources),
      'add',
    );
    expect((await kinds.info('n1', [])).usage).toEqual({ bandwidth: { uplinks: { eth0: 800, eth1: 400 } } });
    expect((await kinds.ask(['n1'], {}))['bandwidth']?.capacities?.get('n1')?.count).toBe(Infinity);
    const last = instances[2]?.resources ?? {};
    const { asked, delta } = await kinds.realloc('n1', last, { bandwidth: { mbps: 500 } });
    expect(asked['bandwidth']?.realloc).toMatchObject({ engineParams: { uplink: 'eth1', mbps: 900 } });
    await kinds.book('n1', [delta], 'add');
    expect((await kinds.info('n1', [])).usage).toEqual({ bandwidth: { uplinks: { eth0: 800, eth1: 900 } } });
    await expect(kinds.allot(instances, request)).rejects.toMatchObject({
      code: 'no_capacity',
      message: expect.stringContaining('no uplink has 400 Mbit/s left'),
    });
  });

  test('a program may be in any language, and what it answers is checked', async () => {
    await install('any', '#!/usr/bin/env -S eru kind --rules sh\ncat >../question; cat ../answer\n');
    const kinds = await open();
    await kinds.addNode('n1', { any: { tokens: 4, model: 'x' } }, machine);
    const answer = (text: string): Promise<void> => writeFile(path.join(root, 'answer'), text);
    await answer('{"n1": 3}');
    expect((await kinds.ask(['n1'], { any: { colour: 'red' } }))['any']?.capacities?.get('n1')).toMatchObject({
      count: 3,
    });
    expect(JSON.parse(await readFile(path.join(root, 'question'), 'utf8'))).toEqual({
      question: 'capacity',
      request: { colour: 'red' },
      nodes: { n1: { capacity: { tokens: 4, model: 'x' }, usage: { tokens: 0 } } },
    });
    for (const [text, message] of [
      ['{"n1": -1}', 'a whole number of at least 0'],
      ['[]', 'an object of counts by node name'],
      ['no', 'any, capacity: bad JSON'],
    ] as const) {
      await answer(text);
      await expect(kinds.ask(['n1'], {})).rejects.toMatchObject({ message: expect.stringContaining(message) });
    }
    await answer('[{}]');
    await expect(deploy(kinds, {}, 1)).rejects.toMatchObject({
      message: expect.stringContaining('an object with resources'),
    });
  });
});

/** The order of a plugin folder. */
function inNameOrder(definitions: readonly KindDefinition[]): KindDefinition[] {
  const { kinds } = createScheduler({ kinds: definitions });
  const named = kinds.map(({ name }, index) => ({ name, definition: definitions[index] as KindDefinition }));
  return named.sort((a, b) => (a.name < b.name ? -1 : 1)).map(({ definition }) => definition);
}

/** Instances of n1 as a plan with nothing but external kinds would name them. */
function deploy(kinds: ExternalKinds, resources: Resources, count: number) {
  return kinds.allot(
    Array.from({ length: count }, () => ({ node: 'n1', resources: {}, engineParams: {} })),
    resources,
  );
}
