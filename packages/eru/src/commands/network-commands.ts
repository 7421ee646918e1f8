import type { Registry } from '@eru/cli';
import { collect } from '@eru/cli';

import type { ImportDockerFlags } from './import-docker-command.ts';
import type { InstallDockerFlags } from './install-docker-command.ts';
import type { BarrelFlags } from './barrel-command.ts';
import type * as Net from './net-command.ts';

type Command = ReturnType<Registry['command']>;

/** `eru netd`, `eru barrel` and `eru net`: the network of this machine. They need no core; what they ask, they ask the daemon's socket. */
export function addNetworkCommands(registry: Registry): void {
  addNetdCommand(registry);
  addBarrelCommand(registry);
  addNetCommands(registry);
}

function addNetdCommand({ command, run }: Registry): void {
  const netd = command('netd', "run this machine's network daemon: networks, fixed addresses, namespaces")
    .option('--socket <path>', 'where it listens (default: /run/eru/netd.sock)')
    .option(
      '--store <url>',
      "embedded, or etcd://… as for `eru up`: then addresses are the whole cluster's",
      'embedded',
    )
    .option('--node <name>', "this machine's name (default: the host name)")
    .option('--address <ip>', 'where other nodes reach this one, for routed networks; may be repeated', collect)
    .option(
      '--plugins <dir>',
      'folder of CNI plugins; may be repeated (default: /opt/cni/bin, /usr/lib/cni, /usr/libexec/cni)',
      collect,
    )
    .option('--plugin-timeout <duration>', 'how long one call of a plugin may take (default: 60s)')
    .option('--docker [socket]', 'give networks to containers of this dockerd (default: /var/run/docker.sock)')
    .option('--namespaces <dir>', 'where network namespaces get their names (default: /run/eru/netns)')
    .option('--detach', 'return when it serves');
  run(netd, async (context, flags: Net.NetdFlags) => (await import('./netd-command.ts')).netdCommand(context, flags));
}

function addBarrelCommand({ command, run }: Registry): void {
  const barrel = command(
    'barrel',
    "stand in front of dockerd: its clients get this machine's networks and fixed addresses",
  )
    .option(
      '-H, --host <address>',
      'unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT; may be repeated (BARREL_HOSTS; default: unix:///var/run/barrel.sock)',
      collect,
    )
    .option(
      '-D, --dockerd-path <address>',
      "dockerd's, unix:///PATH or tcp://HOST:PORT of this machine (BARREL_DOCKERD_PATH; default: unix:///var/run/docker.sock)",
    )
    .option('--dockerd-ca <file>', 'authority of its certificate: it is asked over TLS')
    .option('--dockerd-cert <file>', 'certificate that is shown to it')
    .option('--dockerd-key <file>', 'its key')
    .option('--server-cert <file>', 'certificate of https:// (BARREL_TLS_CERT_FILE_PATH)')
    .option('--server-key <file>', 'its key (BARREL_TLS_KEY_FILE_PATH)')
    .option('--client-ca <file>', 'authority of the clients that may come in by https://')
    .option('--group <name>', 'who may open unix sockets beside root (default: docker, where there is such a group)')
    .option('--netd <path>', 'socket of the network daemon (default: /run/eru/netd.sock)')
    .option('--socket <path>', 'own socket, with /health, /ready and /metrics (default: /run/eru/barrel.sock)')
    .option('--runtime <name>', 'the runtime that dockerd was given for Eru, docs/docker-network.md', 'eru')
    .option('--default-network <name>', 'for containers with the label fixed-ip that name no network')
    .option('--log-level <level>', 'debug, info, warn, error or silent (BARREL_LOG_LEVEL)')
    .option('--detach', 'return when it serves');
  run(barrel, async (context, flags: BarrelFlags) =>
    (await import('./barrel-command.ts')).barrelCommand(context, flags),
  );
}

function addNetCommands({ command, run }: Registry): void {
  const net = command('net', 'networks of this machine, their addresses and namespaces');
  const verb = (usage: string, description: string): Command =>
    command(usage, description, net).option(
      '--socket <path>',
      "socket of the network daemon (default: that of the data folder's Eru, else /run/eru/netd.sock)",
    );
  const act = <Flags extends Net.SocketFlags, Args extends unknown[]>(
    target: Command,
    pick: (
      module: typeof Net,
    ) => (context: Parameters<typeof Net.listNetworks>[0], flags: Flags, ...args: Args) => Promise<number | undefined>,
  ): void =>
    run(target, async (context, flags: Flags, ...args: Args) =>
      pick(await import('./net-command.ts'))(context, flags, ...args),
    );

  const afar = (target: Command): Command =>
    target.option('--node <name>', 'of this node, through core; `--socket` asks without one');
  act(afar(verb('ls', 'list networks, and how full their pools are')), (module) => module.listNetworks);
  act(
    verb('create <name>', 'make a network with a pool of addresses, or change it')
      .option('--subnet <cidr>', 'its addresses; one of IPv4 and one of IPv6 for both', collect)
      .option('--driver <driver>', 'bridge, or routed', 'bridge')
      .option('--gateway <ip>', "the subnet's gateway (default: its first address); may be repeated", collect)
      .option('--exclude <cidr>', 'never give these out; may be repeated', collect)
      .option(
        '--scope <scope>',
        'cluster: one owner per address on all nodes; node: each node has the subnet for itself',
        'cluster',
      )
      .option('--quarantine <duration>', 'how long a released address rests', '30s')
      .option('--no-masquerade', 'outgoing connections keep their address')
      .option('--mtu <bytes>', 'of the interfaces')
      .option('--rate <bits>', 'of each interface, per second and each way: 100M')
      .option('--dns <address>', "name server of its workloads (default: the machine's); may be repeated", collect)
      .option('--plugins <file>', 'a CNI configuration list whose plugins are used instead of a driver'),
    (module) => module.createNetwork,
  );
  act(verb('rm <name>', 'remove a network and the pools that only it has'), (module) => module.removeNetwork);
  act(afar(verb('ip [address-owner-or-container]', 'who has which address')), (module) => module.listAddresses);
  act(
    verb('reserve <owner>', 'give an address to a workload that may come later')
      .requiredOption('--network <name>', 'which network')
      .option('--ifname <name>', 'for which interface', 'eth0')
      .option('--ip <address>', 'this very address; may be repeated for the other family', collect)
      .option('--mac <mac>', 'this very MAC')
      .option('--publish <port>', '[IP:]HOSTPORT:PORT[/PROTOCOL]; may be repeated', collect),
    (module) => module.reserveAddress,
  );
  act(
    verb('release <owner>', 'give back what an owner holds; refused while it is attached')
      .option('--ifname <name>', 'only on this interface')
      .option('--lost', 'its node is dead: do not wait for it'),
    (module) => module.releaseOwner,
  );
  act(
    verb('transfer <from> <to>', 'hand over what one owner holds to another').option(
      '--lost',
      'the node of the first is dead: do not wait for it',
    ),
    (module) => module.transferOwner,
  );
  act(
    verb(
      'attach <id>',
      'make a namespace with an interface, and print its path: `nsenter --net=$(eru net attach x --network n) COMMAND`',
    )
      .requiredOption('--network <name>', 'one interface for each; may be repeated', collect)
      .option('--owner <owner>', 'whose address it is (default: the id)')
      .option('--ip <address>', 'this very address on the first network; may be repeated for the other family', collect)
      .option('--publish <port>', '[IP:]HOSTPORT:PORT[/PROTOCOL] on the first network; may be repeated', collect)
      .option('--fixed', 'keep the address until it is released'),
    (module) => module.attachNamespace,
  );
  act(verb('detach <id>', 'end a namespace; fixed addresses stay reserved'), (module) => module.detachNamespace);
  act(
    verb('plugin', 'print the CNI IPAM plugin for other runtimes: eru net plugin > /opt/cni/bin/eru-ipam'),
    (module) => module.printPlugin,
  );
  run(
    verb('install-docker', 'make the networks of `eru netd --docker` a runtime of dockerd; nothing else of it changes')
      .option('--script <file>', 'where the runtime is put', '/usr/local/bin/eru-oci')
      .option('--name <name>', "the runtime's name in Docker", 'eru')
      .option('--default', 'all containers go through it; those that ask for nothing pass untouched')
      .option('--runtime <file>', 'what is behind it (default: runc, or crun where there is none)')
      .option('--network <name>', 'for containers that name none (default: the only one there is)')
      .option('--ifname <name>', 'how their first interface is called (default: eth0)')
      .option(
        '--config <file>',
        "the original's cni.yaml: each container with this runtime and `--network none` is ours",
      )
      .option('--trust-images', 'environment and labels of images may ask for addresses too')
      .option('--daemon-json <file>', "dockerd's configuration", '/etc/docker/daemon.json')
      .option('--docker <socket>', 'where dockerd answers', '/var/run/docker.sock')
      .option('--print', 'print the runtime, and change nothing'),
    async (context, flags: InstallDockerFlags) =>
      (await import('./install-docker-command.ts')).installDocker(context, flags),
  );
  run(
    verb(
      'import-docker [network...]',
      "make networks out of dockerd's bridges, and reserve what its containers have",
    ).option('--docker <socket>', 'where dockerd answers (default: /var/run/docker.sock)'),
    async (context, flags: ImportDockerFlags, names: string[]) =>
      (await import('./import-docker-command.ts')).importDocker(context, flags, names),
  );
  act(
    afar(verb('diag', 'compare what is reserved, attached and real; ends with 1 when they disagree')).option(
      '--fix',
      'two rounds of repair first',
    ),
    (module) => module.diagnoseNetwork,
  );
}
