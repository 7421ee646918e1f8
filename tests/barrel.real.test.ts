import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { runOk } from '@eru/kit';
import { afterAll, beforeAll, expect, it } from 'vitest';

import { Barrel } from './barrel.ts';
import { busyboxImage } from './busybox-image.ts';
import { describeAsRoot } from './parts.ts';

interface Inspected {
  Id: string;
  HostConfig: { NetworkMode: string };
  NetworkSettings: {
    Ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
    Networks: Record<
      string,
      { IPAddress: string; MacAddress: string; EndpointID: string; IPAMConfig: { IPv4Address?: string } | null }
    >;
  };
}

describeAsRoot(['docker', 'busybox', 'cni', 'ip', 'iptables', 'compose'], 'eru barrel before a stock dockerd', () => {
  let barrel: Barrel;
  const docker = (...words: string[]): Promise<string> => barrel.docker(...words);
  const run = (...words: string[]): Promise<string> => docker('run', '-d', ...words, busyboxImage, 'sleep', 'infinity');
  const inspect = async (name: string): Promise<Inspected> =>
    (JSON.parse(await docker('inspect', name)) as Inspected[])[0] as Inspected;
  const shown = async (name: string): Promise<string> => {
    const { IPAddress, MacAddress } = (await inspect(name)).NetworkSettings.Networks['web'] ?? {};
    return `${IPAddress} ${MacAddress}`;
  };
  const inside = async (name: string): Promise<string> => {
    const address = await docker('exec', name, 'ip', '-o', '-4', 'address', 'show', 'eth0');
    const mac = await docker('exec', name, 'cat', '/sys/class/net/eth0/address');
    return `${/inet ([\d.]+)/.exec(address)?.[1]} ${mac}`;
  };
  const held = async (): Promise<string[]> =>
    (JSON.parse(await barrel.host.net('ip', '-o', 'json')) as { addresses: { ip: string }[] }[]).flatMap(
      ({ addresses }) => addresses.map(({ ip }) => ip),
    );
  let before: string[];

  beforeAll(async () => {
    barrel = await Barrel.start(['--default-network', 'web']);
    before = await barrel.host.traces();
    expect(await docker('network', 'create', '--driver', 'eru', '--subnet', '10.8.0.0/24', 'web')).toMatch(
      /^[0-9a-f]{64}$/,
    );
  });
  afterAll(async () => {
    await barrel?.remove();
  });

  it('a fixed address, MAC and port over a stop; docker tells the truth throughout', async () => {
    await run('--name', 'shop', '--network', 'web', '--label', 'fixed-ip', '-p', '8080:80');
    const first = await shown('shop');
    expect(first).toMatch(/^10\.8\.0\.2 02:/);
    expect(await inside('shop')).toBe(first);
    expect((await inspect('shop')).HostConfig.NetworkMode).toBe('web');
    expect(await docker('port', 'shop')).toBe('80/tcp -> 0.0.0.0:8080');
    expect(await docker('ps', '--filter', 'network=web', '--format', '{{.Names}} {{.Ports}} {{.Networks}}')).toBe(
      'shop 0.0.0.0:8080->80/tcp web',
    );
    const filtered = (filter: string): Promise<string> =>
      docker('ps', '-a', '--filter', filter, '--format', '{{.Names}}');
    for (const filter of ['publish=8080', 'publish=8000-8090/tcp', 'expose=80'])
      expect(await filtered(filter), filter).toBe('shop');
    for (const filter of ['publish=80', 'expose=8080']) expect(await filtered(filter), filter).toBe('');
    await docker('stop', '-t', '0', 'shop');
    expect(await shown('shop')).toBe(first);
    expect((await inspect('shop')).NetworkSettings).toMatchObject({
      Ports: {},
      Networks: { web: { EndpointID: '', IPAMConfig: { IPv4Address: '10.8.0.2' } } },
    });
    expect(await docker('port', 'shop')).toBe('');
    expect(await docker('ps', '-a', '--format', '{{.Names}} {{.Ports}} {{.Networks}}')).toBe('shop  web');
    expect(await filtered('publish=8080')).toBe('');
    expect(await docker('network', 'inspect', 'web', '-f', '{{json .Containers}}')).toBe('{}');
    // What a stopped container is to come back to is in use.
    expect(await docker('network', 'ls', '--filter', 'dangling=true', '--format', '{{.Name}}')).toBe('');
    expect(await docker('network', 'prune', '-f')).toBe('');
    await run('--name', 'other', '--network', 'web');
    expect(await shown('other')).toMatch(/^10\.8\.0\.3 /);
    await docker('start', 'shop');
    expect(await inside('shop')).toBe(first);
    expect(await shown('shop')).toBe(first);
    expect(await docker('port', 'shop')).toBe('80/tcp -> 0.0.0.0:8080');
    await docker('rename', 'shop', 'store');
    expect(JSON.parse(await docker('network', 'inspect', 'web', '-f', '{{json .Containers}}'))).toMatchObject({
      [(await inspect('store')).Id]: { Name: 'store', IPv4Address: '10.8.0.2/24' },
    });
    for (const filter of ['driver=eru', 'name=^web$', 'dangling=false'])
      expect(await docker('network', 'ls', '--filter', filter, '--format', '{{.Name}}'), filter).toMatch(/(^|\n)web$/);
    for (const filter of ['name=^we$', 'dangling=true'])
      expect(await docker('network', 'ls', '--filter', filter, '--format', '{{.Name}}'), filter).not.toContain('web');
    expect(await docker('network', 'ls', '--format', '{{.Name}}')).toBe('bridge\nhost\nnone\nweb');
    await docker('rm', '-f', 'store', 'other');
    expect(await held()).toEqual([]);
  });

  it('by the label alone, where a network is set for it; ephemeral without', async () => {
    await run('--name', 'labelled', '--label', 'fixed-ip=1');
    const [address] = (await shown('labelled')).split(' ');
    await docker('kill', 'labelled');
    await docker('wait', 'labelled');
    await expect.poll(held).toEqual([address]);
    await run('--name', 'plain', '--label', 'fixed-ip=false');
    expect((await inspect('plain')).HostConfig.NetworkMode).not.toBe('web');
    await docker('rm', '-f', 'labelled', 'plain');
  });

  it('publishes all that an image exposes, and shows the rest; ports stay over a stop', async () => {
    const file = 'FROM eru-busybox:1\nEXPOSE 80 53/udp\nCMD ["sleep", "infinity"]\n';
    const folder = path.join(barrel.host.machine.folder, 'exposing');
    await mkdir(folder);
    await writeFile(path.join(folder, 'Dockerfile'), file);
    await docker('build', '-q', '-t', 'exposing', folder);
    await docker(
      'run',
      '-d',
      '--name',
      'all',
      '--network',
      'web',
      '--label',
      'fixed-ip',
      '-P',
      '--expose',
      '81',
      'exposing',
    );
    await docker('run', '-d', '--name', 'some', '--network', 'web', '-p', '80', 'exposing');
    const { Ports } = (await inspect('all')).NetworkSettings;
    expect(Object.keys(Ports).toSorted()).toEqual(['53/udp', '80/tcp', '81/tcp']);
    const HostPort = Ports['80/tcp']?.[0]?.HostPort;
    expect(await docker('port', 'all', '80')).toBe(`0.0.0.0:${HostPort}`);
    const listed = async (...filters: string[]): Promise<string> =>
      docker('ps', ...filters.flatMap((one) => ['--filter', one]), '--format', '{{.Names}} {{.Ports}}');
    expect(await listed('name=some')).toMatch(/^some 53\/udp, 0\.0\.0\.0:\d+->80\/tcp$/);
    expect(await listed(`publish=${HostPort}`)).toMatch(
      /^all .*53\/udp, 0\.0\.0\.0:\d+->80\/tcp, 0\.0\.0\.0:\d+->81\/tcp$/,
    );
    expect((await listed('expose=53/udp')).split('\n').map((line) => line.split(' ')[0])).toEqual(['some', 'all']);
    expect(await listed('publish=80')).toBe('');
    await docker('restart', '-t', '0', 'all');
    expect((await inspect('all')).NetworkSettings.Ports).toEqual(Ports);
    await docker('rm', '-f', 'all', 'some');
  });

  it('prune removes what is unused, of containers and networks, and what it holds', async () => {
    const make = (name: string, subnet: string): Promise<string> =>
      docker('network', 'create', '--driver', 'eru', '--subnet', subnet, '--aux-address', 'nas=10.9.1.2', name);
    await barrel.host.net('create', 'own', '--subnet', '10.9.0.0/24');
    await make('office', '10.9.1.0/29');
    await docker('create', '--name', 'kept', '--network', 'office', '--label', 'fixed-ip', busyboxImage, 'true');
    expect((await inspect('kept')).NetworkSettings.Networks['office']?.IPAddress).toBe('10.9.1.3');
    expect(JSON.parse(await docker('network', 'inspect', 'office', '-f', '{{json .IPAM.Config}}'))).toEqual([
      { Subnet: '10.9.1.0/29', Gateway: '10.9.1.1', AuxiliaryAddresses: { nas: '10.9.1.2' } },
    ]);
    await docker('network', 'create', 'of-docker');
    expect(await docker('network', 'prune', '-f')).toBe('Deleted Networks:\nof-docker\nweb');
    const said = await docker('system', 'prune', '-f');
    expect(said).toMatch(/Deleted Containers:\n[0-9a-f]{64}\n\nDeleted Networks:\noffice\n/);
    expect(await held()).toEqual([]);
    expect(await docker('network', 'ls', '--filter', 'driver=eru', '--format', '{{.Name}}')).toBe('own');
    await barrel.host.net('rm', 'own');
    await docker('network', 'create', '--driver', 'eru', '--subnet', '10.8.0.0/24', 'web');
  });

  it('an address that is pinned has one owner, and what is refused leaves nothing', async () => {
    await docker('create', '--name', 'first', '--network', 'web', '--ip', '10.8.0.50', busyboxImage, 'true');
    const taken = await barrel.tryDocker([
      'run',
      '--name',
      'b',
      '--network',
      'web',
      '--ip',
      '10.8.0.50',
      busyboxImage,
      'true',
    ]);
    expect(taken).toMatchObject({ code: 125, stderr: expect.stringMatching(/10\.8\.0\.50 .*belongs to/) });
    for (const words of [
      ['--label', 'eru.network/ip=$(reboot)', '--network', 'web', busyboxImage, 'true'],
      ['--label', 'eru.network/mac=garbage', '--network', 'web', busyboxImage, 'true'],
      ['--label', 'eru.network/ip=10.8.0.50', '--network', 'web', busyboxImage, 'true'],
      ['--network', 'web', '127.0.0.1:1/no-such-image:1', 'true'],
    ])
      expect((await barrel.tryDocker(['create', ...words])).code, words.join(' ')).not.toBe(0);
    expect(await held()).toEqual(['10.8.0.50']);
    expect(await docker('ps', '-aq')).toBe((await inspect('first')).Id.slice(0, 12));
    expect(await docker('container', 'prune', '-f')).toContain('Total reclaimed space');
    expect(await held()).toEqual([]);
  });

  it('paths that dockerd reads as a creation are creations here, others are none', async () => {
    const body = JSON.stringify({
      Image: busyboxImage,
      Cmd: ['true'],
      hostconfig: { networkMODE: 'web' },
      Labels: { 'fixed-ip': '' },
    });
    const created = await barrel.ask('POST', '/v1.41/%63ontainers/create?name=odd', body);
    expect(created.status).toBe(201);
    expect(await held()).toHaveLength(1);
    const { body: bare } = await barrel.ask('GET', '/containers/odd/json', undefined, true);
    expect(JSON.parse(bare)).toMatchObject({ HostConfig: { NetworkMode: 'none', Runtime: 'eru' } });
    for (const target of ['//containers/create', '/x/../containers/create', '/containers/create/'])
      expect((await barrel.ask('POST', target, body)).status).not.toBe(201);
    expect((await barrel.ask('DELETE', '/%63ontainers/odd')).status).toBe(204);
    expect(await held()).toEqual([]);
  });

  it('numbers and fields that nobody knows arrive as they were written', async () => {
    const numbers = '"ShmSize":9007199254740993,"Later":1.0';
    const body = `{"Image":"${busyboxImage}","Cmd":["true"],"New":{"a":[18446744073709551615]},"HostConfig":{"NetworkMode":"web",${numbers}}}`;
    expect((await barrel.ask('POST', '/containers/create?name=big', body)).status).toBe(201);
    const [through, direct] = await Promise.all(
      [false, true].map((d) => barrel.ask('GET', '/containers/big/json', undefined, d)),
    );
    for (const answer of [through, direct]) expect(answer?.body).toContain('"ShmSize":9007199254740993');
    await docker('rm', 'big');
    await docker('create', '--name', 'plain', busyboxImage, 'true');
    const [one, other] = await Promise.all(
      [false, true].map((d) => barrel.ask('GET', '/containers/plain/json', undefined, d)),
    );
    expect(one?.body).toBe(other?.body);
    await docker('rm', 'plain');
  });

  it('networks are joined and left while it runs, and kept for the next start', async () => {
    const range = ['--subnet', '10.9.0.0/24', '--ip-range', '10.9.0.128/25', '--gateway', '10.9.0.254'];
    await docker('network', 'create', '--driver', 'eru', ...range, '--label', 'a=b', 'db');
    expect(JSON.parse(await docker('network', 'inspect', 'db', '-f', '{{json .}}'))).toMatchObject({
      IPAM: { Config: [{ Subnet: '10.9.0.0/24', IPRange: '10.9.0.128/25', Gateway: '10.9.0.254' }] },
      Labels: { a: 'b' },
    });
    await docker('create', '--name', 'ranged', '--network', 'db', '--label', 'fixed-ip', busyboxImage, 'true');
    expect((await inspect('ranged')).NetworkSettings.Networks['db']?.IPAddress).toBe('10.9.0.128');
    await docker('rm', 'ranged');
    await run('--name', 'joint', '--network', 'web', '--label', 'fixed-ip');
    await docker('network', 'connect', '--ip', '10.9.0.9', 'db', 'joint');
    expect(await docker('exec', 'joint', 'ip', '-o', '-4', 'address', 'show', 'eth1')).toContain('10.9.0.9/24');
    await docker('restart', '-t', '0', 'joint');
    expect(await docker('exec', 'joint', 'ip', '-o', '-4', 'address', 'show', 'eth1')).toContain('10.9.0.9/24');
    expect(Object.keys((await inspect('joint')).NetworkSettings.Networks)).toEqual(['web', 'db']);
    expect((await barrel.tryDocker(['network', 'rm', 'db'])).stderr).toContain('in use by container');
    await docker('network', 'disconnect', 'db', 'joint');
    expect(Object.keys((await inspect('joint')).NetworkSettings.Networks)).toEqual(['web']);
    await docker('network', 'rm', 'db');
    await run('--name', 'foreign');
    expect((await barrel.tryDocker(['network', 'connect', 'web', 'foreign'])).stderr).toContain("on Docker's network");
    await docker('rm', '-f', 'joint', 'foreign');
  });

  it('a proxy that is killed between dockerd and its client leaves nothing twice', async () => {
    const { dockerd } = barrel.host;
    await dockerd.freeze();
    const body = { Image: busyboxImage, Cmd: ['true'], HostConfig: { NetworkMode: 'web' }, Labels: { 'fixed-ip': '' } };
    const cut = barrel.ask('POST', '/containers/create?name=cut', JSON.stringify(body)).catch(() => 'cut');
    await expect.poll(held).toHaveLength(1);
    const [address] = await held();
    // dockerd has the request by now, and does not mind that nobody waits for its answer.
    await barrel.killProxy();
    dockerd.thaw();
    expect(await cut).toBe('cut');
    await barrel.startProxy();
    const shownAddress = async (): Promise<string> => (await shown('cut').catch(() => '')).split(' ')[0] ?? '';
    await expect.poll(shownAddress).toBe(address);
    await docker('start', 'cut');
    await docker('rm', '-f', 'cut');
    expect(await held()).toEqual([]);
    await run('--name', 'next', '--network', 'web');
    await docker('rm', '-f', 'next');
  });

  it('compose: what it makes anew has the same addresses and ports, and nothing is left of what it takes down', async () => {
    const example = path.join(import.meta.dirname, '../examples/compose/compose.yaml');
    const compose = async (...words: string[]): Promise<string> => {
      const all = ['-H', `unix://${barrel.socket}`, '-p', 'example', '-f', example, ...words];
      const env = { ...process.env, IMAGE: busyboxImage };
      return (await runOk('docker-compose', all, { env, timeoutMs: 120_000 })).stdout;
    };
    await compose('up', '-d');
    const first = await held();
    expect(first.toSorted()).toEqual(['10.10.0.20', '10.10.0.21', '10.10.0.22']);
    // It makes the next one before the last is gone.
    await compose('up', '-d', '--force-recreate', '--no-deps', 'front');
    expect(await docker('exec', 'example_front_1', 'wget', '-qO-', 'http://middle')).toBe('middle');
    expect(await docker('port', 'example_front_1')).toBe('80/tcp -> 0.0.0.0:8080');
    expect(await barrel.host.net('ip', 'compose.example_front_1')).toContain(' 10.10.0.20 ');
    expect((await held()).toSorted()).toEqual(first.toSorted());
    await compose('down');
    expect(await held()).toEqual([]);
    expect(await docker('network', 'ls', '--filter', 'driver=eru', '--format', '{{.Name}}')).toBe('web');
  });

  it('leaves nothing behind, and says how it is', async () => {
    expect(JSON.parse((await barrel.own('/ready')).body)).toEqual({ dockerd: 'ok', netd: 'ok' });
    expect((await barrel.own('/health')).status).toBe(200);
    expect(await barrel.host.net('diag', '-o', 'json')).toBe('[]\n');
    await docker('network', 'rm', 'web');
    expect(await barrel.host.net('ls', '-o', 'json')).toBe('[]\n');
    expect(await barrel.host.traces()).toEqual(before);
  });
});
