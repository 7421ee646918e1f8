import type { Action, Context, Registry } from '@eru/cli';
import { collect } from '@eru/cli';

import type { AgentFlags } from './agent-command.ts';
import { originalFlags } from '../settings/agent-flags.ts';
import { defaultListen, defaultNodeListen } from '../settings/default-listen.ts';
import type { RuntimeFlags } from './daemon-commands.ts';
import type { KindFlags } from './kind-command.ts';
import { addNetworkCommands } from './network-commands.ts';

/** `eru up`, `down`, the three daemons apart, and kinds as plugins. Everything heavy is imported when a command runs. */
export function addDaemonCommands(registry: Registry): void {
  addUpAndDown(registry);
  addCoreCommand(registry);
  addRuntimeCommand(registry);
  addAgentCommand(registry);
  addNetworkCommands(registry);
  addKindCommand(registry);
}

function addUpAndDown({ command, run }: Registry): void {
  const up = withServing(
    command('up', 'run a one-node cluster in this process: core, store, node runtime, agent'),
    'this user',
  )
    .option('--node <name>', "this machine's node (default: as last time, at first the host name)")
    .option('--pod <name>', "pod of this machine's node", 'default')
    .option('--hub <registry>', 'HOST[:PORT][/NAMESPACE] that built images are pushed to (default: they stay here)')
    .option(...dockerOption)
    .option(...netdOption)
    .option(...runtimeOption)
    .option('--agent-config <file>', "agent.yaml of the original's form, docs/config.md: logs, figures, checks")
    .option('--example <file>', 'deploy this app unless it is recorded already, and wait until it is healthy')
    .option('--detach', 'return when it serves');
  run(
    up,
    action(async () => (await import('./up-command.ts')).upCommand),
  );

  const down = command('down', 'stop the Eru of the data folder; workloads run on').option(
    '--all',
    'remove all workloads first (on a shared etcd, those of this node)',
  );
  run(
    down,
    action(async () => (await import('./down-command.ts')).downCommand),
  );
}

function addCoreCommand({ command, run }: Registry): void {
  const core = withServing(command('core', 'run only core'), 'root').option(
    '--config <file>',
    "core.yaml of the original's form, docs/config.md; SIGHUP reads it again (ERU_CONFIG_PATH)",
  );
  run(
    core,
    action(async () => (await import('./core-command.ts')).coreCommand),
  );
  const config = command('config', "core's configuration file", core);
  const check = command('check <file>', 'say what is wrong with it, and what of it has no effect', config);
  run(check, async (context, options: object, file: string) =>
    (await import('./config-command.ts')).configCheckCommand(context, options, file),
  );
}

function addRuntimeCommand({ command, run }: Registry): void {
  const runtime = withJoin(
    command('runtime [core]', 'run only the node daemon, which runs processes and, where there is Docker, containers'),
  )
    .option('--listen <address>', `where cores on other machines reach it (default: ${defaultNodeListen})`)
    .option('--advertise <address>', 'HOST:PORT at which they do, when it is not what this machine sees of itself')
    .option('--socket <path>', 'where it listens (default: in the data folder)')
    .option(...dockerOption)
    .option(...netdOption)
    .option(...runtimeOption)
    .option('--strict', 'refuse workloads with limits that this machine cannot enforce');
  run(runtime, async (context, flags: RuntimeFlags, core?: string) =>
    (await import('./daemon-commands.ts')).runtimeCommand(context, flags, core),
  );
}

function addAgentCommand({ command, run }: Registry): void {
  const agent = withJoin(command('agent [core]', 'run only the agent of a node'))
    .option('--config <file>', "agent.yaml of the original's form, docs/config.md (ERU_AGENT_CONFIG_PATH)")
    .option('--socket <path>', 'socket of the node daemon (default: in the data folder)')
    .option(
      '--node <name>',
      'the node that it speaks for (ERU_HOSTNAME; default: the one this machine joined as, or the host name)',
    )
    .option('--heartbeat <seconds>', 'between two heartbeats; 0 sends none (default: 60)')
    .option('--register <pod>', 'add the node to this pod when core does not know it')
    .option('--leave', 'when stopped, tell core that the node is down; else it stays alive for three heartbeats');
  for (const flag of Object.keys(originalFlags)) {
    if (flag === 'check-only-mine') agent.option(`--${flag}`);
    else agent.option(`--${flag} <value>`, '', collect);
    agent.options.at(-1)?.hideHelp();
  }
  run(agent, async (context, flags: AgentFlags, core?: string) =>
    (await import('./agent-command.ts')).agentCommand(context, flags, core),
  );
  const agentConfig = command('config', "the agent's configuration file", agent);
  const agentCheck = command('check <file>', 'say what is wrong with it, and what of it has no effect', agentConfig);
  run(agentCheck, async (context, options: object, file: string) =>
    (await import('./config-command.ts')).agentConfigCheckCommand(context, options, file),
  );
}

function addKindCommand({ command, run }: Registry): void {
  const kind = command('kind <kind> <command>', 'be a resource plugin: one call of the binary plugin protocol')
    .usage('[options] NAME|./FILE COMMAND')
    .option('--state <dir>', 'what the kind remembers of nodes (default: .state/KIND in its folder)')
    .option('--config <file>', "YAML of core's form; its scheduler block is read (ERU_RESOURCE_CONFIG_PATH)")
    .option('--rules <program>', 'FILE is a program that decides, run by this one, such as python3');
  run(kind, async (context, options: KindFlags, kind: string, command: string) =>
    (await import('./kind-command.ts')).kindCommand(context, options, kind, command),
  );
}

/** What makes this machine one of a cluster whose core is elsewhere. */
function withJoin(target: ReturnType<Registry['command']>): typeof target {
  return target.option(
    '--join <token>',
    'make this machine a node, with a token of `eru node token`, at CORE (HOST:PORT)',
  );
}

const runtimeOption = [
  '--oci-runtime <name>',
  'what processes are run by: runc or crun; where that one does not work, the other (ERU_OCI_RUNTIME)',
] as const;

const dockerOption = [
  '--docker <socket>',
  "the dockerd of this machine's node: auto (its own socket when it answers), none, or unix:///SOCKET",
  'auto',
] as const;

const netdOption = [
  '--netd <socket>',
  'networks of processes: auto (a network daemon in this process), none, or unix:///SOCKET of one that runs apart',
  'auto',
] as const;

function withServing(command: ReturnType<Registry['command']>, user: string): typeof command {
  return command
    .option('--listen <address>', `where core listens; port 0 takes a free one (default: ${defaultListen})`)
    .option(
      '--store <url>',
      'embedded, or etcd://[USER@]HOST:PORT[,HOST:PORT…][/PREFIX][?ca=FILE&cert=FILE&key=FILE] (default: embedded; `up` stays where it was)',
    )
    .option('--plugin-dir <dir>', 'folder of resource plugins, docs/kinds.md')
    .option('--no-auth', `serve without a credential: whoever reaches the port runs commands as ${user}`)
    .option('--secure', 'serve nothing in clear text: TLS with a certificate of the cluster')
    .option('--server-cert <file>', 'serve under TLS with this certificate instead')
    .option('--server-key <file>', 'its key')
    .option('--client-ca <file>', 'let in who shows a certificate of this authority, named ROLE:NAME')
    .option('--host-name <name>', 'a name under which browsers and curl may call; may be repeated', collect);
}

function action<Options>(
  load: () => Promise<(context: Context, options: Options) => Promise<number | undefined>>,
): Action<[], Options> {
  return async (context, options) => (await load())(context, options);
}
