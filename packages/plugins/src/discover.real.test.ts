import { chmod, chown, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { silentLogger } from '@eru/kit';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { discoverPlugins } from './discover.ts';
import { FakePlugins } from './fakes.suite.ts';

let fakes: FakePlugins;
beforeEach(async () => {
  fakes = await FakePlugins.create();
});
afterEach(() => fakes.close());

const discover = (logger = silentLogger) => discoverPlugins(fakes.folder, { taken: ['cpumem'], logger });
const at = (name: string): string => path.join(fakes.folder, name);

test('the direct executables of the folder are plugins, in name order', async () => {
  for (const name of ['storage', 'gpu', 'cpumem', 'shared.so']) await fakes.add(name, '#!/bin/sh\n');
  for (const [name, mode] of [
    ['half', 0o744],
    ['notes', 0o644],
  ] as const) {
    await writeFile(at(name), '');
    await chmod(at(name), mode);
  }
  await mkdir(at('folder'), { mode: 0o755 });
  await writeFile(path.join(fakes.root, 'plain'), '', { mode: 0o644 });
  await symlink('../plain', at('link'));
  await symlink('../gone', at('broken'));
  await symlink('folder', at('to-folder'));
  const skipped: unknown[] = [];
  const logger = { ...silentLogger, warn: (fields: object) => void skipped.push(fields) } as typeof silentLogger;
  const found = await discover(logger);
  expect(found.map(({ name }) => name)).toEqual(['broken', 'gpu', 'link', 'storage']);
  expect(found[1]).toEqual({ name: 'gpu', path: at('gpu'), folder: fakes.folder });
  expect(skipped).toEqual([{ plugin: 'cpumem', file: at('cpumem') }]);
});

test('a folder or a file that others can write to is refused, with the remedy', async () => {
  const file = await fakes.add('gpu', '#!/bin/sh\n');
  await chmod(file, 0o775);
  await expect(discover()).rejects.toMatchObject({
    code: 'precondition',
    message: expect.stringContaining(`chmod go-w ${file}`),
  });
  await chmod(fakes.folder, 0o777);
  await expect(discover()).rejects.toMatchObject({
    code: 'precondition',
    message: `resource_plugin.dir: ${fakes.folder} can be written to by other users: whoever can write there runs commands as core; chmod go-w ${fakes.folder}`,
  });
  await rm(fakes.folder, { recursive: true });
  await expect(discover()).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringContaining('does not exist'),
  });
});

test.runIf(process.geteuid?.() === 0)('a folder of another user is refused', async () => {
  await chown(fakes.folder, 65534, 65534);
  await expect(discover()).rejects.toMatchObject({
    code: 'precondition',
    message: expect.stringContaining('belongs to user 65534, not to user 0, which runs the plugins'),
  });
});

test('no folder, no plugins', async () => {
  expect((await fakes.open({ dir: '' })).names).toEqual([]);
});

test('a file that cannot be started is an error of its calls', async () => {
  await symlink('../gone', at('broken'));
  await expect(fakes.plugin('broken').getMetricsDescription()).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringMatching(/cannot be started: spawn /),
    details: { reason: 'start' },
  });
});

test('a call runs in the folder, with the environment of core but without what slows Node down', async () => {
  await fakes.add(
    'probe',
    '#!/bin/sh\n[ "$*" = remove-node ] || exit 1\n[ "$PROBE" = 1 ] && [ -z "$NODE_EXTRA_CA_CERTS" ] && [ -f probe ] || exit 2\necho chatter >&2\n',
  );
  process.env['PROBE'] = '1';
  process.env['NODE_EXTRA_CA_CERTS'] = '/nowhere';
  try {
    await expect(fakes.plugin('probe').removeNode('n1')).resolves.toBeUndefined();
  } finally {
    delete process.env['PROBE'];
    delete process.env['NODE_EXTRA_CA_CERTS'];
  }
});

test('names of fields may be in any case, unknown ones are ignored, nothing and null are empty answers', async () => {
  await fakes.add(
    'any',
    `#!/bin/sh
case "$1" in
  get-nodes-deploy-capacity) echo '{"Nodes_Deploy_Capacity_Map":{"n1":{"capacity":9223372036854775807,"USAGE":0.5},"n2":{"Capacity":0}},"colour":"red"}' ;;
  set-node-resource-usage) echo null ;;
esac
`,
  );
  const plugin = fakes.plugin('any');
  expect(await plugin.getNodesDeployCapacity(['n1', 'n2'], null)).toEqual(
    new Map([['n1', { count: Infinity, usage: 0.5, rate: 0, weight: 0 }]]),
  );
  const change = { workloads_resource: null, resource: null, resource_request: null, delta: true, incr: true };
  expect(await plugin.setNodeResourceUsage('n1', change)).toEqual({ before: {}, after: {} });
  expect(await plugin.getNodeResourceInfo('n1', null)).toEqual({ capacity: {}, usage: {}, differences: [] });
});

test('an answer without end is cut off', async () => {
  await fakes.add('flood', '#!/bin/sh\nexec cat /dev/zero\n');
  await expect(fakes.plugin('flood').getMetricsDescription()).rejects.toMatchObject({
    code: 'too_large',
    details: { reason: 'huge' },
  });
});

test('a plugin that leaves a child behind, which holds its output open, has answered', async () => {
  await fakes.add('leaver', '#!/bin/sh\nsleep 600 &\necho "{}"\n');
  await expect(fakes.plugin('leaver').removeNode('n1')).resolves.toBeUndefined();
});
