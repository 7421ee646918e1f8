import type { Command } from 'commander';

import type { Registry } from './registry.ts';
import { collect } from './registry.ts';

/** Everything about workloads. The actions are loaded when they run: `eru --version` pays for none of them. */
export function addWorkloadCommands(registry: Registry): void {
  addDeployCommands(registry);
  addShowCommands(registry);
  addInsideCommands(registry);
  addFileCommands(registry);
  addControlCommands(registry);
  addReallocCommand(registry);
  addLambdaCommand(registry);
}

function addShowCommands({ command, run }: Registry): void {
  const ps = command('ps [words...]', 'list workloads')
    .option('--app <name>', 'only of this app')
    .option('--pod <name>', 'only in this pod')
    .option('--wait', 'wait until all are healthy')
    .option('--timeout <duration>', 'how long to wait', '60s');
  run(withFilters(ps), async (context, flags: object, words: string[]) =>
    (await import('./commands/ps.ts')).ps(context, flags, words),
  );

  run(
    command('describe <workload>', 'show everything that is known of a workload'),
    async (context, flags, word: string) => (await import('./commands/ps.ts')).describe(context, flags, word),
  );

  const status = withFilters(command('status [app]', 'show states, once or as they change'))
    .option('-w, --watch', 'go on until Ctrl-C')
    .option('--wait', 'wait until all are healthy')
    .option('--timeout <duration>', 'how long to wait', '60s');
  run(status, async (context, flags: object, app?: string) =>
    (await import('./commands/status.ts')).status(context, flags, app),
  );

  const logs = command('logs <workload>', 'show the output of a workload')
    .option('-f, --follow', 'go on until it is removed, over restarts')
    .option('--tail <lines>', 'only the last lines', 'all')
    .option('--since <time>', 'a time, or how long ago (42m)')
    .option('--until <time>', 'a time, or how long ago');
  run(logs, async (context, flags: object, word: string) =>
    (await import('./commands/logs.ts')).logs(context, flags, word),
  );
}

function addInsideCommands({ command, run }: Registry): void {
  const exec = command('exec <workload> [command...]', 'run a command in a workload')
    .option('-i, --interactive', 'send standard input')
    .option('-t, --tty', 'give it a terminal')
    .option('-e, --env <KEY=value>', 'set in its environment; may be repeated', collect)
    .option('-w, --workdir <dir>', 'its working directory')
    .option('--user <user>', 'user to run as')
    .passThroughOptions();
  run(exec, async (context, flags: object, word: string, rest: string[]) =>
    (await import('./commands/exec.ts')).exec(context, flags, word, rest),
  );

  run(
    command(
      'attach <workload>',
      "show what a workload's main process prints from now on; Ctrl-C leaves it running",
    ).option('-i, --interactive', 'send standard input'),
    async (context, flags: object, word: string) => (await import('./commands/exec.ts')).attach(context, flags, word),
  );
}

function addControlCommands({ command, run }: Registry): void {
  for (const type of ['start', 'stop', 'restart', 'suspend', 'resume'] as const) {
    const control = withKey(
      command(`${type} <workloads...>`, `${type} workloads`).option('-f, --force', 'go on when a hook fails'),
    );
    run(control, async (context, flags: object, words: string[]) =>
      (await import('./commands/control.ts')).control(type)(context, flags, words),
    );
  }

  const rm = command('rm <workloads...>', 'stop and remove workloads')
    .alias('remove')
    .option('-f, --force', 'kill at once, and go on when a hook fails')
    .option('--grace <duration>', 'time between TERM and KILL');
  run(withKey(rm), async (context, flags: object, words: string[]) =>
    (await import('./commands/control.ts')).remove(context, flags, words),
  );

  run(
    withKey(command('dissociate <workloads...>', 'forget workloads and leave what they run running')),
    async (context, flags: object, words: string[]) =>
      (await import('./commands/control.ts')).dissociate(context, flags, words),
  );
}

function addReallocCommand({ command, run }: Registry): void {
  const realloc = command('realloc <workload>', 'add to what a workload has, live; amounts may be negative')
    .option('--cpu <cores>', 'added to request and limit')
    .option('--cpu-request <cores>', 'added to what is booked')
    .option('--cpu-limit <cores>', 'added to what is enforced')
    .option('--memory <size>', 'added to request and limit')
    .option('--memory-request <size>', 'added to what is booked')
    .option('--memory-limit <size>', 'added to what is enforced')
    .option('--storage <size>', 'added to request and limit')
    .option('--storage-request <size>', 'added to what is booked')
    .option('--storage-limit <size>', 'added to what is enforced')
    .option('--cpu-bind', 'cores of its own from now on')
    .option('--cpu-unbind', 'no cores of its own any more')
    .option('--extra-resources <json>', 'increments of other kinds: {"kind": {...}}');
  run(withKey(realloc), async (context, flags: object, word: string) =>
    (await import('./commands/realloc.ts')).realloc(context, flags, word),
  );
}

function addLambdaCommand({ command, run }: Registry): void {
  const lambda = command('lambda [command...]', 'run a command once, in workloads that are removed when it ends')
    .option('--name <name>', 'name of the entrypoint', 'job')
    .option('-w, --workdir <dir>', 'working directory')
    .option('-i, --stdin', 'send standard input')
    .option('--async', 'do not wait; the output goes to the log of core')
    .option('--async-timeout <duration>', 'with --async: removed after this time', '300s')
    .passThroughOptions();
  run(withRequestOptions(lambda), async (context, flags: object, words: string[]) =>
    (await import('./commands/lambda.ts')).lambda(context, flags, words),
  );
}

/** Who repeats a command with the same key, because the answer was lost, is told what became of the first. */
function withKey(command: Command): Command {
  return command.option('--key <text>', 'idempotency key: the same command again with it does nothing twice');
}

function addDeployCommands({ command, run }: Registry): void {
  const deploy = command('deploy <spec>', 'start instances of an entrypoint (a file, a URL, or - for standard input)')
    .option('--wait', 'wait until all are healthy')
    .option('--timeout <duration>', 'how long to wait', '60s')
    .option('--async', 'do not wait for the instances to start')
    .option('--key <text>', 'idempotency key: the same deploy again with it starts nothing new');
  run(withSpecOptions(deploy), async (context, flags: object, spec: string) =>
    (await import('./commands/deploy.ts')).deploy(context, flags, spec),
  );
  const replace = command('replace <spec>', 'replace the workloads of an entrypoint on their nodes, some at a time')
    .option('--overlap', 'start the new one before the old one is stopped; needs room for both')
    .option('--window <n>', 'how many at a time', '1')
    .option('--health-gate <duration>', 'take the old one back unless the new one is healthy within this time')
    .option('--network-inherit', 'with networks and addresses of the old one')
    .option('--copy <old:new>', 'path in the old one to path in the new one; may be repeated', collect)
    .option('--filter-label <key=value>', 'only old ones with this label; may be repeated', collect)
    .option('--workload <workload>', 'only this old one; may be repeated', collect)
    .option('--key <text>', 'idempotency key: the same replace again with it replaces nothing twice');
  run(withSpecOptions(replace), async (context, flags: object, spec: string) =>
    (await import('./commands/replace.ts')).replace(context, flags, spec),
  );
  const plan = command('plan <request>', 'show what deploy would do, or why it would not (a spec, or a JSON request)')
    .option('--nodes <file>', 'plan on the nodes of this JSON file, without a cluster')
    .option('--explain', 'say why these nodes, and why not the others');
  run(withSpecOptions(plan), async (context, flags: object, request: string) =>
    (await import('./commands/plan.ts')).plan(context, flags, request),
  );
}

function addFileCommands({ command, run }: Registry): void {
  run(
    command('cp <source> <target>', 'copy a file or folder out of a workload or into it').addHelpText(
      'after',
      '\nOne of the two is WORKLOAD:PATH. A target that ends with / is a folder to put it in. As the other one, - is a tar\nstream on standard output or input.',
    ),
    async (context, _flags, source: string, target: string) =>
      (await import('./commands/copy.ts')).copy(context, source, target),
  );
  const send = command(
    'send <file> <workloads...>',
    'put one file into many workloads: eru send FILE WORKLOAD... WORKLOAD:PATH',
  )
    .option('--mode <octal>', "default: the file's own")
    .option('--owner <uid:gid>', 'its owner in the workloads', '0:0');
  run(send, async (context, flags: { mode?: string; owner: string }, file: string, words: string[]) =>
    (await import('./commands/send.ts')).send(context, flags, file, words),
  );
}

/** Every one of them is also a key of the spec. */
function withSpecOptions(command: Command): Command {
  return withRequestOptions(command.option('--entry <name>', 'which entrypoint; not needed when there is one'));
}

/** What one instance needs and where it may go. */
function withRequestOptions(command: Command): Command {
  return command
    .option('--pod <name>', 'on nodes of this pod')
    .option('--image <reference>', 'run containers of this image; without one, processes')
    .option('--count <n>', 'how many instances')
    .option('--node <name>', 'only on this node; may be repeated', collect)
    .option('--nodelabel <key=value>', 'only on nodes with this label; may be repeated', collect)
    .option('--deploy-strategy <name>', 'how they are spread: AUTO, FILL, EACH, GLOBAL or DRAINED (docs/planner.md)')
    .option('--nodes-limit <n>', 'at most this many nodes')
    .option('--cpu <cores>', 'request and limit, such as 0.5')
    .option('--cpu-request <cores>', 'what is booked')
    .option('--cpu-limit <cores>', 'what is enforced; 0 = no limit')
    .option('--cpu-bind', 'give each instance cores of its own')
    .option('--numa <policy>', 'its cores and memory in one NUMA node: none, prefer or require')
    .option('--memory <size>', 'request and limit, such as 512M')
    .option('--memory-request <size>', 'what is booked')
    .option('--memory-limit <size>', 'what is enforced; 0 = no limit')
    .option('--storage <size>', 'request and limit')
    .option('--storage-request <size>', 'what is booked')
    .option('--storage-limit <size>', 'what is enforced')
    .option('--gpu <product=count>', 'GPUs of each instance; may be repeated', collect)
    .option('--extra-resources <json>', 'requests of other kinds: {"kind": {...}}')
    .option('--network <name[=address[,address]]>', 'host, none, or the name of a network; may be repeated', collect)
    .option('--env <KEY=value>', 'environment variable; may be repeated', collect)
    .option('--label <key=value>', 'label of the workloads; may be repeated', collect)
    .option('--user <user>', 'user to run as')
    .option('--file <source:target[:mode[:uid:gid]]>', 'copied in before the start; may be repeated', collect)
    .option('--after-create <command>', 'run inside after the start; may be repeated', collect)
    .option('--ignore-hook', 'go on when a hook fails')
    .option('--debug', "use core's own log driver")
    .option('--raw-args <json>', 'passed to the engine as it is');
}

function withFilters(command: Command): Command {
  return command
    .option('--entry <name>', 'only of this entrypoint')
    .option('--node <name>', 'only on this node')
    .option('--label <key=value>', 'only with this label; may be repeated', collect);
}
