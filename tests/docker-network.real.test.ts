import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';

import { busyboxImage } from './busybox-image.ts';
import { DockerNetwork } from './docker-network.ts';
import { describeAsRoot } from './parts.ts';
import type { PrivateMachine } from './private-machine.ts';

const cycles = Number(process.env['ERU_CYCLES'] ?? 2);

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], 'fixed addresses on plain Docker', () => {
  let host: DockerNetwork;
  beforeAll(async () => {
    host = await DockerNetwork.start();
    await host.net('create', 'web', '--subnet', '10.8.0.0/24', '--subnet', 'fd08::/64', '--quarantine', '2s');
    await host.install('--network', 'web', '--default');
  });
  afterAll(() => host?.remove());
  afterEach(async () => {
    const left = await host.docker('ps', '-aq');
    if (left !== '') await host.docker('rm', '-f', ...left.split('\n'));
  });

  const none = ['--network', 'none'];
  const forever = [busyboxImage, 'sleep', 'infinity'];
  const label = (...labels: string[]): string[] => labels.flatMap((one) => ['--label', one]);
  const run = (name: string, ...words: string[]): Promise<string> =>
    host.docker('run', '-d', '--name', name, ...none, ...words, ...forever);
  const refused = async (...words: string[]): Promise<string> => {
    const { code, stderr } = await host.tryDocker('run', '--rm', ...none, ...words, busyboxImage, 'true');
    return code === 0 ? 'it ran' : stderr;
  };
  const seen = async (name: string): Promise<string> => {
    const shown = await host.docker('exec', name, 'ip', '-o', 'address', 'show', 'eth0');
    const link = await host.docker('exec', name, 'cat', '/sys/class/net/eth0/address');
    return [...shown.matchAll(/inet6? (10\S+|fd08\S+)/g)]
      .map(([, ip]) => ip)
      .concat(link)
      .join(' ');
  };
  const reserved = async (owner: string): Promise<void> => {
    const states = async (): Promise<string[]> =>
      (await host.service.reservations({ owner })).map(({ state }) => state);
    await expect.poll(states).toEqual(['reserved']);
  };
  const nothingHeld = async (): Promise<void> => {
    await expect.poll(() => host.service.reservations()).toEqual([]);
    expect(await host.service.diagnose()).toEqual([]);
  };

  it('keeps addresses, MAC and ports over a stop while others start, and gives them back at rm', async () => {
    const before = await host.traces();
    const rate = 'eru.network/egress-rate=8000000';
    const id = await run('shop', ...label('fixed-ip', rate), '-p', '8080:80', '-P', '--expose', '53/udp');
    const first = await seen('shop');
    expect(first).toMatch(/^10\.8\.0\.2\/24 fd08::2\/64 02:/);
    expect(await host.docker('exec', 'shop', 'cat', '/etc/hosts')).toMatch(/10\.8\.0\.2\t.*\nfd08::2\t/);
    await host.docker('exec', '-d', 'shop', 'httpd', '-h', '/etc', '-p', '80');
    const answered = async (): Promise<number> => (await fetch(`http://${host.machine.address}:8080/passwd`)).status;
    await expect.poll(() => answered().catch(() => 0)).toBe(200);
    expect(await host.machine.runOk('tc', ['qdisc'])).toContain('tbf');
    await host.docker('stop', '-t', '0', 'shop');
    await run('other', ...label('fixed-ip=1'));
    expect(await seen('other')).toMatch(/^10\.8\.0\.3\/24/);
    expect(JSON.parse(await host.net('ip', id, '-o', 'json'))).toMatchObject([
      {
        state: 'reserved',
        addresses: [{ ip: '10.8.0.2' }, {}],
        ports: [
          { hostPort: 8080, containerPort: 80 },
          { containerPort: 53, protocol: 'udp' },
        ],
      },
    ]);
    expect(await host.net('ip', id.slice(0, 12))).toContain(`\n${id.slice(0, 12)} `);
    await host.docker('start', 'shop');
    expect(await seen('shop')).toBe(first);
    await host.docker('exec', 'shop', 'ping', '-c', '1', '-W', '5', '10.8.0.3');
    expect(await host.net('diag', '-o', 'json')).toBe('[]\n');
    await host.docker('rm', '-f', 'shop', 'other');
    await nothingHeld();
    expect(await host.traces()).toEqual(before);
  });

  it(
    `leaves the rules of the host as they were, after ${cycles} stops and starts (ERU_CYCLES)`,
    async () => {
      const rules = async (): Promise<string> => {
        await host.service.reconcile();
        const tables = ['iptables', 'ip6tables'].flatMap((program) =>
          ['nat', 'filter'].map((table) => [program, table]),
        );
        const shown = tables.map(([program = '', table = '']) =>
          host.machine.runOk(program, ['-w', '-t', table, '-S']),
        );
        return (await Promise.all(shown)).join('');
      };
      const before = await rules();
      expect(before).not.toMatch(/CNI-|10\.8\./);
      await run('shop', ...label('fixed-ip'), '-p', '8080:80');
      const running = await rules();
      for (let cycle = 0; cycle < cycles; cycle++) await host.docker('restart', '-t', '0', 'shop');
      expect((await rules()).split('\n').toSorted()).toEqual(running.split('\n').toSorted());
      expect(running).toMatch(/CNI-HOSTPORT-DNAT.*8080/);
      await host.docker('rm', '-f', 'shop');
      await nothingHeld();
      expect(await rules()).toBe(before);
    },
    Math.max(120_000, cycles * 5_000),
  );

  it('passes what is not ours: a container on Docker’s own network, with a label that is off, with none at all', async () => {
    const inside = (...words: string[]): Promise<string> =>
      host.docker('run', '--rm', ...words, busyboxImage, 'ip', '-o', 'address');
    expect(await inside()).toMatch(/eth0/);
    expect(await inside(...label('fixed-ip'))).toMatch(/eth0.*198\.19\./);
    expect(await inside(...none)).not.toMatch(/eth0/);
    expect(await inside(...none, ...label('fixed-ip=False'))).not.toMatch(/eth0/);
    await nothingHeld();
  });

  it('believes no image, and gives nobody what another has', async () => {
    await run('shop', ...label('eru.network/ip=10.8.0.9', 'eru.network/owner=shop'));
    const mine = label('eru.network/ip=10.8.0.9');
    expect(await refused(...mine)).toMatch(/10\.8\.0\.9 of pool web belongs to shop/);
    expect(await refused(...mine, ...label('eru.network/owner=shop'))).toMatch(
      /eth0 of shop is attached to .*detach that first/,
    );
    expect(await refused(...label('eru.network/ip=10.8.0.999'))).toMatch(/10\.8\.0\.999/);
    expect(await refused(...label('eru.network/ip=10.9.0.1'))).toMatch(
      /10\.9\.0\.1 is in none of the network's pools: 10\.8\.0\.0\/24/,
    );
    expect(await refused(...label('eru.network/name=../../etc'))).toMatch(
      /there is no network \.\.\/\.\.\/etc; there are: web/,
    );
    expect(await refused(...label('eru.network/owner=a/b'))).toMatch(/owner: "a\/b" is not allowed/);
    expect(await refused(...label('eru.network/adress=10.8.0.7'))).toMatch(/none of ours; write one of/);
    expect(await refused(...label('eru.network/mac=01:00:00:00:00:01'))).toMatch(
      /label eru\.network\/mac: .*one interface/,
    );
    expect(await refused(...label('fixed-ip'), '-p', '8000-8010:80')).toMatch(
      /"8000-8010" is not allowed; write one port/,
    );
    expect((await host.tryNet('create', 'other')).stderr).toMatch(/^eru: --subnet: a network needs addresses/);
    expect((await host.tryNet('create', 'other', '--subnet', '10.8.0.128/25')).stderr).toMatch(
      /in common with pool web/,
    );
    expect((await host.tryNet('create', 'other', '--subnet', '10.7.0.0/24', '--mtu', '1')).code).toBe(2);
    expect((await host.service.pools()).map(({ definition }) => definition.name).toSorted()).toEqual(['web', 'web-v6']);
    const bridged = await host.tryDocker('run', '--rm', ...label('eru.network/name=web'), busyboxImage, 'true');
    expect(bridged.stderr).toMatch(/run it with --network none/);
    // An image claims an address, by its environment and by its labels.
    const file = path.join(host.machine.folder, 'forged');
    await mkdir(file);
    const text = `FROM ${busyboxImage}\nENV ERU_NETWORK=web IPPOOL=web IPV4=10.8.0.9 fixed-ip=1\nLABEL fixed-ip=1 eru.network/ip=10.8.0.8\n`;
    await writeFile(path.join(file, 'Dockerfile'), text);
    await host.docker('build', '-q', '-t', 'forged', file);
    expect(await host.docker('run', '--rm', ...none, 'forged', 'ip', '-o', 'address')).not.toMatch(/eth0/);
    const claim = ['run', '--rm', ...none, ...label('eru.network/name=web'), 'forged', 'ip', '-o', 'address'];
    expect(await host.docker(...claim)).toMatch(/10\.8\.0\.(?!8\/|9\/)\d+\/24/);
    await host.docker('rm', '-f', 'shop');
    // The owner has another name than the container, and outlives it.
    await reserved('shop');
    await host.service.release({ owner: 'shop' });
    await nothingHeld();
  });

  it('survives a plugin that hangs, floods, lies or fails for a full table: the start fails, and nothing is left', async () => {
    const { folder } = host.machine;
    const bodies = {
      hangs: 'sleep 60',
      floods: 'head -c 3000000 /dev/zero; exit 0',
      lies: `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.8.0.250/24"}]}'`,
      full: `echo '{"cniVersion":"1.0.0","code":999,"msg":"iptables: Resource temporarily unavailable"}'; exit 1`,
    };
    const before = await host.traces();
    await mkdir(path.join(folder, 'plugins'));
    for (const [name, body] of Object.entries(bodies)) {
      const plugin = path.join(folder, 'plugins', name);
      await writeFile(plugin, `#!/bin/sh\ncat >/dev/null\n[ $CNI_COMMAND = ADD ] || exit 0\n${body}\n`);
      await chmod(plugin, 0o755);
      await writeFile(`${plugin}.json`, JSON.stringify({ cniVersion: '1.0.0', plugins: [{ type: name }] }));
      await host.net('create', name, '--subnet', '10.7.0.0/24', '--quarantine', '0s', '--plugins', `${plugin}.json`);
      const said = await refused(...label('fixed-ip', `eru.network/name=${name}`));
      expect(said, name).toMatch(
        { hangs: /3000 ms/, floods: /bytes/, lies: /did not give eth0/, full: /unavailable/ }[name] as RegExp,
      );
      await nothingHeld();
      await host.net('rm', name);
    }
    expect(await host.traces()).toEqual(before);
  });

  it('hears of a stop that it missed, starts nothing of ours while it is away, and knows a reboot', async () => {
    const before = await host.traces();
    await run('shop', ...label('fixed-ip'), '-p', '8081:80');
    const first = await seen('shop');
    await host.killNetd();
    expect(await host.docker('run', '--rm', ...none, busyboxImage, 'echo', 'ran')).toBe('ran');
    expect(await refused(...label('fixed-ip'))).toMatch(/no network daemon answers/);
    await host.docker('stop', '-t', '0', 'shop');
    expect((await host.tryDocker('start', 'shop')).stderr).toMatch(/no network daemon answers/);
    await host.startNetd();
    await host.docker('start', 'shop');
    expect(await seen('shop')).toBe(first);
    // A lost name of a namespace that lives is given back.
    const { service } = host;
    const [sandbox] = await service.sandboxes();
    await host.machine.runOk('umount', [sandbox?.netns ?? '']);
    await service.reconcile();
    expect(await service.reconcile()).toMatchObject([{ key: `namespace/${sandbox?.id}` }]);
    expect(await service.diagnose()).toEqual([]);
    expect(await seen('shop')).toBe(first);
    // After a boot nothing runs, no namespace is there, and the kernel has another name for it.
    await host.killNetd();
    await host.docker('kill', 'shop');
    const boot = path.join(host.machine.folder, 'boot-id');
    await writeFile(boot, '11111111-2222-3333-4444-555555555555\n');
    await host.machine.runOk('mount', ['--bind', boot, '/proc/sys/kernel/random/boot_id']);
    await host.machine.runOk('sh', [
      '-c',
      'umount /run/eru/netns/* 2>/dev/null; rm -r /run/eru; iptables-save | grep -v -e CNI- -e 10[.]8[.] | iptables-restore',
    ]);
    await host.startNetd();
    expect(await host.service.reservations()).toMatchObject([{ state: 'reserved', ports: [{ hostPort: 8081 }] }]);
    await host.docker('start', 'shop');
    expect(await seen('shop')).toBe(first);
    await host.docker('rm', '-f', 'shop');
    await nothingHeld();
    expect((await host.traces()).filter((trace) => !before.includes(trace))).toEqual([]);
  });

  it('keeps a namespace over a stop where that is asked for', async () => {
    await run('shop', ...label('fixed-ip', 'eru.network/keep-netns=1'));
    const [before] = await host.service.sandboxes();
    await host.docker('restart', '-t', '0', 'shop');
    const [after] = await host.service.sandboxes();
    expect(after).toEqual(before);
    expect(await seen('shop')).toMatch(/^10\.8\./);
    await host.docker('rm', '-f', 'shop');
    await nothingHeld();
    expect(await host.service.sandboxes()).toEqual([]);
  });

  it('takes over networks and addresses of Docker’s, and lets a container move over with its own', async () => {
    await host.docker('network', 'create', '--subnet', '10.6.0.0/24', 'old');
    const id = await host.docker('run', '-d', '--name', 'moved', '--network', 'old', '--ip', '10.6.0.77', ...forever);
    await host.docker('run', '-d', '--name', 'stays', '--network', 'old', ...forever);
    await host.net('import-docker', 'old', '--docker', host.dockerd.socket);
    await host.net('import-docker', 'old', '--docker', host.dockerd.socket);
    expect(JSON.parse(await host.net('ip', '10.6.0.77', '-o', 'json'))).toMatchObject([{ owner: `docker.${id}` }]);
    expect(await refused(...label('eru.network/name=old', 'eru.network/ip=10.6.0.77'))).toMatch(/belongs to docker\./);
    await host.docker('stop', '-t', '0', 'moved');
    await host.net('transfer', `docker.${id}`, 'moved');
    await host.docker('rm', 'moved');
    await run('moved', ...label('eru.network/name=old', 'eru.network/owner=moved'));
    expect(await host.docker('exec', 'moved', 'ip', '-o', 'address')).toContain('10.6.0.77/24');
    await host.docker('exec', 'moved', 'ping', '-c', '1', '-W', '5', '10.6.0.2');
    await host.docker('rm', '-f', 'moved', 'stays');
    await reserved('moved');
    await host.service.release({ owner: 'moved' });
    await nothingHeld();
  });

  it('takes the original’s cni.yaml: each container of that runtime without a network gets its network', async () => {
    const { folder } = host.machine;
    await mkdir(path.join(folder, 'net.d'));
    const list = {
      cniVersion: '0.4.0',
      name: 'original',
      plugins: [
        {
          type: 'bridge',
          bridge: 'orig0',
          isGateway: true,
          ipam: { type: 'host-local', subnet: '10.5.0.0/24', dataDir: path.join(folder, 'ipam') },
        },
      ],
    };
    await writeFile(path.join(folder, 'net.d/10-original.conflist'), JSON.stringify(list));
    const config = path.join(folder, 'cni.yaml');
    await writeFile(
      config,
      `oci_bin: /usr/sbin/runc\ncni_conf_dir: ${folder}/net.d/\ncni_bin_dir: /usr/lib/cni\ncni_ifname: net9\nlog_level: info\n`,
    );
    await host.install('--config', config, '--name', 'docker-cni', '--script', path.join(folder, 'docker-cni'));
    const shown = await host.docker(
      'run',
      '--rm',
      '--runtime',
      'docker-cni',
      ...none,
      busyboxImage,
      'ip',
      '-o',
      'address',
    );
    expect(shown).toMatch(/net9.*10\.5\.0\.2\/24/);
    expect(JSON.parse(await readFile(path.join(folder, 'daemon.json'), 'utf8'))).toMatchObject({
      runtimes: {
        eru: { path: path.join(folder, 'eru-oci') },
        'docker-cni': { path: path.join(folder, 'docker-cni') },
      },
    });
    await nothingHeld();
  });
});

/** Root in a container of such a daemon is nobody outside. */
async function remapped(machine: PrivateMachine): Promise<string[]> {
  const { folder } = machine;
  for (const name of ['subuid', 'subgid']) {
    const file = path.join(folder, name);
    await writeFile(file, 'daemon:100000:65536\n');
    await machine.runOk('mount', ['--bind', file, `/etc/${name}`]);
  }
  // Containers come in as that nobody.
  await chmod(folder, 0o711);
  return ['--userns-remap=daemon'];
}

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables'], 'fixed addresses under userns-remap', () => {
  let host: DockerNetwork;
  beforeAll(async () => {
    host = await DockerNetwork.start(remapped);
    await host.net('create', 'web', '--subnet', '10.8.0.0/24', '--subnet', 'fd08::/64', '--quarantine', '0s');
    await host.install('--network', 'web', '--default');
  });
  afterAll(() => host?.remove());

  it.each([
    { users: 'of its own, by hooks', words: [], map: /^0 100000 65536$/ },
    { users: 'of the host, by a path', words: ['--userns', 'host'], map: /^0 0 / },
  ])('a container with users $users keeps addresses, MAC and ports over a stop', async ({ words, map }) => {
    const before = await host.traces();
    const inside = (...command: string[]): Promise<string> => host.docker('exec', 'shop', ...command);
    const seen = (): Promise<string> =>
      inside('sh', '-c', 'cat /sys/class/net/eth0/address; ip -o address show eth0 scope global');
    const run = ['run', '-d', '--name', 'shop', '--network', 'none', '--label', 'fixed-ip', '-p', '8080:80'];
    await host.docker(...run, '--stop-signal', 'KILL', ...words, busyboxImage, 'httpd', '-f', '-h', '/etc', '-p', '80');
    expect((await inside('cat', '/proc/self/uid_map')).replaceAll(/ +/g, ' ').trim()).toMatch(map);
    const first = await seen();
    expect(first).toMatch(/^02:.* 10\.8\.0\.\d+\/24 .* fd08::\w+\/64 /s);
    expect(await inside('cat', '/etc/hosts')).toMatch(/10\.8\.0\.\d+\t.*\nfd08::/);
    await inside('ping', '-c', '1', '-W', '5', '10.8.0.1');
    await host.docker('stop', 'shop');
    await expect.poll(() => host.service.reservations()).toMatchObject([{ state: 'reserved' }]);
    await host.docker('start', 'shop');
    expect(await seen()).toBe(first);
    const answered = async (): Promise<number> => (await fetch(`http://${host.machine.address}:8080/passwd`)).status;
    await expect.poll(() => answered().catch(() => 0)).toBe(200);
    expect(await host.service.diagnose()).toEqual([]);
    await host.docker('rm', '-f', 'shop');
    await expect.poll(() => host.service.reservations()).toEqual([]);
    expect(await host.service.diagnose()).toEqual([]);
    expect(await host.traces()).toEqual(before);
  });
});
