import type { Command } from 'commander';

import type { BuildFlags } from './commands/image-build.ts';
import type { Registry } from './registry.ts';
import { collect } from './registry.ts';

/** Pods, nodes, networks, images, tokens, operations and the store. */
export function addClusterCommands(registry: Registry): void {
  addPodCommands(registry);
  addNodeCommands(registry);
  addNetworkCommands(registry);
  addImageCommands(registry);
  addTokenCommands(registry);
  addOperationCommands(registry);
  const { command, run } = registry;
  const watch = command('watch', 'print what there is, then every change of pods, nodes, workloads and operations')
    .option('--kind <kind>', 'only pod, node, workload or operation; may be repeated', collect)
    .option('--from <revision>', 'only what has changed after this revision');
  run(watch, async (context, flags: object) => (await import('./commands/watch.ts')).watch(context, flags));
  const store = command('store', 'look into the store');
  run(command('dump [prefix]', 'print every key as a JSON line', store), async (context, flags, prefix?: string) =>
    (await import('./commands/store-dump.ts')).storeDump(context, flags, prefix),
  );
}

/** Beside the composition root's `eru core`, which runs one. */
export function addCoreCommands({ program, command, run }: Registry): void {
  const core = program.commands.find((known) => known.name() === 'core') ?? command('core', 'the control plane');
  run(command('info', 'show what core says of itself', core), async (context) =>
    (await import('./commands/core-info.ts')).coreInfo(context),
  );
}

function addPodCommands({ command, run }: Registry): void {
  const pod = command('pod', 'groups of nodes');
  run(command('ls', 'list pods', pod).alias('list'), async (context) =>
    (await import('./commands/pod.ts')).listPods(context),
  );
  run(command('get <pod>', 'show a pod', pod), async (context, flags, name: string) =>
    (await import('./commands/pod.ts')).getPod(context, flags, name),
  );
  run(
    command('add <pod>', 'add a pod', pod).option('--desc <text>', 'description'),
    async (context, flags: object, name: string) => (await import('./commands/pod.ts')).addPod(context, flags, name),
  );
  run(command('rm <pod>', 'remove an empty pod', pod).alias('remove'), async (context, flags, name: string) =>
    (await import('./commands/pod.ts')).removePod(context, flags, name),
  );
}

function addNetworkCommands({ command, run }: Registry): void {
  const network = command('network', 'networks, and which workloads are on them');
  const list = command('ls', 'list the networks of a pod', network)
    .alias('list')
    .option('--pod <name>', 'default: any')
    .option('--driver <name>', 'only of this driver, such as bridge');
  run(list, async (context, flags: object) => (await import('./commands/network.ts')).listNetworks(context, flags));
  const connect = command('connect <network> <workloads...>', 'put workloads on a network', network)
    .option('--ipv4 <address>', 'the address wanted; for one workload')
    .option('--ipv6 <address>', 'the address wanted; for one workload');
  run(connect, async (context, flags: object, name: string, words: string[]) =>
    (await import('./commands/network.ts')).connectNetwork(context, flags, name, words),
  );
  const disconnect = command('disconnect <network> <workloads...>', 'take workloads off a network', network).option(
    '-f, --force',
    'even if the engine would rather not',
  );
  run(disconnect, async (context, flags: object, name: string, words: string[]) =>
    (await import('./commands/network.ts')).disconnectNetwork(context, flags, name, words),
  );
}

function addImageCommands({ command, run }: Registry): void {
  const image = command('image', 'images on the nodes');
  const build = command('build <source>', 'build an image and push it to the hub', image)
    .requiredOption('--name <name>', 'its name, without hub and tag')
    .option('--tag <tag>', 'may be repeated (default: latest)', collect)
    .option('--raw', 'source is a folder with a Dockerfile, not a build spec')
    .option('--exist', 'source is a workload, whose files become the image')
    .option('--user <name>', 'make this user in the image, and run as it; with --uid')
    .option('--uid <id>', 'its number')
    .option('--stop-signal <signal>', 'for all stages, in place of those of the spec')
    .option('--platform <os/arch>', "default: the builder's own");
  run(build, async (context, flags: BuildFlags, source: string) =>
    (await import('./commands/image-build.ts')).buildImage(context, flags, source),
  );
  const list = withPlaces(command('ls', 'list images, node by node', image).alias('list')).option(
    '--filter <repository>',
    'only of this repository',
  );
  run(list, async (context, flags: object) => (await import('./commands/image.ts')).listImages(context, flags));
  run(
    withPlaces(command('cache <images...>', 'fetch images to the nodes of a pod', image)),
    async (context, flags: object, images: string[]) =>
      (await import('./commands/image.ts')).cacheImages(context, flags, images),
  );
  const rm = withPlaces(
    command('rm <images...>', 'remove images from the nodes of a pod', image).alias('remove'),
  ).option('--prune', 'afterwards all that nothing uses');
  run(rm, async (context, flags: object, images: string[]) =>
    (await import('./commands/image.ts')).removeImages(context, flags, images),
  );
}

function withPlaces(command: Command): Command {
  return command
    .option('--pod <name>', 'default: the only one')
    .option('--node <name>', 'only on this node; may be repeated', collect);
}

function addTokenCommands({ command, run }: Registry): void {
  const token = command('token', 'secrets for programs and people that need less than everything');
  const create = command('create <name>', 'make a token; its secret is shown once', token)
    .option('--role <role>', 'read (look), operate (change workloads) or admin (everything)', 'read')
    .option('--ttl <duration>', 'its life, such as 720h (default: for ever)');
  run(create, async (context, flags: { role: string; ttl?: string }, name: string) =>
    (await import('./commands/token.ts')).createToken(context, flags, name),
  );
  run(command('ls', 'list tokens', token).alias('list'), async (context) =>
    (await import('./commands/token.ts')).listTokens(context),
  );
  run(command('rm <name>', 'remove a token', token).alias('remove'), async (context, flags, name: string) =>
    (await import('./commands/token.ts')).removeToken(context, flags, name),
  );
}

function addOperationCommands({ command, run }: Registry): void {
  const op = command('op', 'what is being done, by which core, and what became of what a dead core left');
  const list = command('ls', 'list operations in flight', op)
    .alias('list')
    .option('-a, --all', 'also those that have ended lately')
    .option('--kind <kind>', 'create, lambda, roll, replace, remove, control, dissociate, realloc, send or raw')
    .option('--workload <id>', 'only of this workload');
  run(list, async (context, flags: object) =>
    (await import('./commands/operations.ts')).listOperations(context, flags),
  );
  run(command('show <operation>', 'show an operation, step by step', op), async (context, flags, id: string) =>
    (await import('./commands/operations.ts')).showOperation(context, flags, id),
  );
  run(command('watch', 'print every step of every operation until Ctrl-C', op), async (context) =>
    (await import('./commands/operations.ts')).watchOperations(context),
  );
}

function addNodeCommands({ command, run }: Registry): void {
  const node = command('node', 'machines');
  const list = command('ls', 'list nodes', node)
    .alias('list')
    .option('--pod <name>', 'only of this pod')
    .option('--label <key=value>', 'only with this label; may be repeated', collect);
  run(list, async (context, flags: object) => (await import('./commands/node.ts')).listNodes(context, flags));
  run(command('get <node>', 'show a node', node), async (context, flags, name: string) =>
    (await import('./commands/node.ts')).getNode(context, flags, name),
  );
  const add = withDefinition(command('add <pod>', 'add a node to a pod', node))
    .option('--nodename <name>', "default: this machine's name")
    .option('--test', 'not watched for heartbeats');
  run(add, async (context, flags: object, pod: string) =>
    (await import('./commands/node.ts')).addNode(context, flags, pod),
  );
  const token = command('token <node>', 'make a token with which one machine joins as this node, once', node)
    .option('--pod <name>', 'pod of the new node', 'default')
    .option('--ttl <duration>', 'its life, at most 7 days', '1h')
    .option('--rejoin', 'the node is there, and its machine joins anew; what it had until now is dead');
  run(token, async (context, flags: { pod: string; ttl: string; rejoin?: boolean }, name: string) =>
    (await import('./commands/node-token.ts')).createNodeToken(context, flags, name),
  );
  const set = withDefinition(command('set <node>', 'change a node', node))
    .alias('update')
    .option('--rm-disk <devices>', 'forget these disks')
    .option('--delta', 'amounts are added, and may be negative')
    .option('--mark-workloads-down', 'say that its workloads are down');
  run(set, async (context, flags: object, name: string) =>
    (await import('./commands/node.ts')).setNode(context, flags, name),
  );
  run(command('up <node>', 'let new workloads come again', node), async (context, flags, name: string) =>
    (await import('./commands/node.ts')).bypassNode(false)(context, flags, name),
  );
  run(command('down <node>', 'let no new workloads come', node), async (context, flags, name: string) =>
    (await import('./commands/node.ts')).bypassNode(true)(context, flags, name),
  );
  run(
    command('rm <node>', 'remove a node without workloads', node).alias('remove'),
    async (context, flags, name: string) => (await import('./commands/node.ts')).removeNode(context, flags, name),
  );
  const check = command('check <node>', 'compare engine, records, bookings and statuses of a node', node).option(
    '--fix',
    'mend the differences',
  );
  run(check, async (context, flags: object, name: string) =>
    (await import('./commands/node-check.ts')).checkNode(context, flags, name),
  );
  const resource = command('resource <node>', 'compare what is booked with what its workloads have', node).option(
    '--fix',
    'set the booking to the sum of the workloads',
  );
  run(resource, async (context, flags: object, name: string) =>
    (await import('./commands/node.ts')).nodeResource(context, flags, name),
  );
}

function withDefinition(command: Command): Command {
  return command
    .option('--endpoint <url>', 'where its engine is reached')
    .option('--ca <file>', 'for TLS to the engine')
    .option('--cert <file>', 'for TLS to the engine')
    .option('--key <file>', 'for TLS to the engine')
    .option('--cpu <cores>', 'a count, or id:pieces pairs')
    .option('--share <pieces>', 'pieces of a core')
    .option('--memory <size>', 'default: most of what it has')
    .option('--numa-cpu <ids>', 'cores of a NUMA node; repeated, in order', collect)
    .option('--numa-memory <size>', 'memory of a NUMA node; repeated, in order', collect)
    .option('--smt-cpu <ids>', 'threads of one physical core; may be repeated', collect)
    .option('--l3-cpu <ids>', 'cores that share a cache; may be repeated', collect)
    .option('--socket-cpu <ids>', 'cores of one socket; may be repeated', collect)
    .option('--reserved-cpu <ids>', 'cores that are given to nobody')
    .option('--storage <size>', 'bytes for workloads')
    .option('--volume <dir:size>', 'folder for volumes, and its bytes; may be repeated', collect)
    .option('--disk <device:mounts:riops:wiops:rbps:wbps>', 'disk with its rates of IO; may be repeated', collect)
    .option('--label <key=value>', 'label of the node; may be repeated', collect)
    .option('--extra-resources <json>', 'other kinds: {"kind": {...}}');
}
