import { readdir, readlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EruError } from '@eru/kit';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakePlugins } from './fakes.suite.ts';
import type { Plugin } from './plugin.ts';
import type { Command } from './protocol.ts';

// Must-show: a plugin process that hangs, lies, crashes or returns garbage, in each command.

const nothing = { resource: null, resource_request: null, delta: true, incr: true };

const commands: Readonly<
  Record<Command, { readonly call: (plugin: Plugin) => Promise<unknown>; readonly lies: readonly string[] }>
> = {
  'calculate-deploy': {
    call: (plugin) => plugin.calculateDeploy('n1', 1, { seats: 1 }),
    lies: [
      '{"engines_params":[{}],"workloads_resource":[{},{}]}',
      '{"engines_params":[],"workloads_resource":[{}]}',
      'null',
      '[]',
    ],
  },
  'calculate-realloc': {
    call: (plugin) => plugin.calculateRealloc('n1', { seats: 1 }, { seats: 1 }),
    lies: ['{"delta_resource":[1]}', '{"workload_resource":"2"}'],
  },
  'calculate-remap': {
    call: (plugin) => plugin.calculateRemap('n1', new Map([['w1', { seats: 1 }]])),
    lies: ['{"engine_params_map":{"w2":{}}}', '{"engine_params_map":[]}'],
  },
  'add-node': { call: (plugin) => plugin.addNode('n1', null, null), lies: ['{"capacity":7}', '"done"'] },
  'remove-node': { call: (plugin) => plugin.removeNode('n1'), lies: ['[]', 'false'] },
  'get-nodes-deploy-capacity': {
    call: (plugin) => plugin.getNodesDeployCapacity(['n1', 'n2'], null),
    lies: [
      '{"nodes_deploy_capacity_map":{"n1":{"Capacity":-1}}}',
      '{"nodes_deploy_capacity_map":{"n1":{"Capacity":1.5}}}',
      '{"nodes_deploy_capacity_map":{"n1":{"Capacity":"NaN"}}}',
      '{"nodes_deploy_capacity_map":{"n1":{"Capacity":1,"Usage":1e999}}}',
      '{"nodes_deploy_capacity_map":{"n1":{"Capacity":1,"Rate":-0.1}}}',
      '{"nodes_deploy_capacity_map":{"n9":{"Capacity":1}}}',
      '{"nodes_deploy_capacity_map":{"n1":5}}',
    ],
  },
  'set-node-resource-capacity': {
    call: (plugin) => plugin.setNodeResourceCapacity('n1', nothing),
    lies: ['{"after":1}', '{"before":[]}'],
  },
  'get-node-resource-info': {
    call: (plugin) => plugin.getNodeResourceInfo('n1', null),
    lies: ['{"diffs":"none"}', '{"diffs":[1]}', '{"usage":[]}'],
  },
  'set-node-resource-info': {
    call: (plugin) => plugin.setNodeResourceInfo('n1', { capacity: {}, usage: {} }),
    lies: ['[]', '0'],
  },
  'set-node-resource-usage': {
    call: (plugin) => plugin.setNodeResourceUsage('n1', { ...nothing, workloads_resource: [] }),
    lies: ['{"before":1}', '{"after":"3"}'],
  },
  'get-most-idle-node': {
    call: (plugin) => plugin.getMostIdleNode(['n1']),
    lies: ['{"nodename":"n7","priority":1}', '{"nodename":"n1","priority":"high"}', '{"nodename":1}'],
  },
  'fix-node-resource': {
    call: (plugin) => plugin.fixNodeResource('n1', []),
    lies: ['{"capacity":[]}', '{"diffs":{}}'],
  },
  'get-metrics-description': {
    call: (plugin) => plugin.getMetricsDescription(),
    lies: ['{}', '[{"type":"speedometer"}]', '[{"name":1,"type":"gauge"}]'],
  },
  'get-metrics': { call: (plugin) => plugin.getMetrics('p', 'n1'), lies: ['{}', '[{"labels":"n1"}]', '[{"value":1}]'] },
};

/** In which it has long begun, also on a busy machine. */
const hangMs = 1200;

describe.each(Object.entries(commands))('%s', (command, { call, lies }) => {
  let fakes: FakePlugins;
  beforeEach(async () => {
    fakes = await FakePlugins.create('seats');
  });
  afterEach(() => fakes.close());

  const failing = async (fault: string, timeoutMs?: number): Promise<EruError> => {
    await fakes.fail('seats', command, fault);
    return call(fakes.plugin('seats', timeoutMs)).then(
      () => expect.unreachable('a call that failed is an error'),
      (error: unknown) => error as EruError,
    );
  };

  test('answers', async () => {
    await expect(call(fakes.plugin('seats'))).resolves.not.toThrow();
  });

  test('that hangs is killed at the limit, with all that it started', async () => {
    const error = await failing('hang', hangMs);
    expect(error).toMatchObject({ code: 'timeout', details: { plugin: 'seats', command, reason: 'hang' } });
    expect(error.message).toBe(
      `plugin seats, ${command}: no answer within ${hangMs} ms, killed; it said: waiting for the licence server`,
    );
    expect(await processesIn(fakes.folder)).toEqual([]);
  });

  test('that crashes', async () => {
    expect(await failing('crash')).toMatchObject({
      code: 'failed',
      message: `plugin seats, ${command}: died of SIGSEGV`,
      details: { reason: 'crash' },
    });
  });

  test('that prints garbage is quoted', async () => {
    const error = await failing('garbage');
    expect(error).toMatchObject({ code: 'failed', details: { reason: 'garbage' } });
    expect(error.message).toMatch(/bad JSON \(.*\); it said: Usage: counter \[options\]$/);
  });

  test('that refuses in known words keeps their identity', async () => {
    expect(await failing('refuse')).toMatchObject({
      code: 'no_capacity',
      message: `plugin seats, ${command}: cannot alloc a plan, not enough resource`,
      details: { identity: 'cannot alloc a plan, not enough resource' },
    });
  });

  test('that refuses in its own words', async () => {
    expect(await failing('odd')).toMatchObject({
      code: 'failed',
      message: `plugin seats, ${command}: the licence server is down`,
      details: { reason: 'refused' },
    });
  });

  test.each(lies)('that lies: %s', async (lie) => {
    await writeFile(path.join(fakes.root, 'seats.lie'), lie);
    const error = await failing('lie');
    expect(error).toMatchObject({ code: 'failed', details: { reason: 'lie', command } });
    expect(error.message).toMatch(/ should be .+, and is .+/);
  });
});

/** Processes whose working directory is this folder. */
async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if ((await readlink(`/proc/${pid}/cwd`).catch(() => '')) === folder) found.push(pid);
  }
  return found;
}
