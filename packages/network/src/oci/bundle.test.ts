import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { afterEach, beforeEach, expect, it } from 'vitest';

import {
  annotationsOf,
  environmentOf,
  hasOwnNetwork,
  hasOwnUsers,
  readBundle,
  withHook,
  withNetwork,
  writeBundle,
} from './bundle.ts';
import { ownLabels, readDockerContainer, readImageLabels, writeNames } from './docker-container.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'eru-bundle-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const config = {
  ociVersion: '1.0.2',
  process: { env: ['A=1', 'A=2=3', 'B'] },
  annotations: { 'eru.network/name': 'web' },
  hooks: { prestart: [{ path: '/proc/1/exe', args: ['setkey'] }], poststop: [{ path: '/bin/old' }] },
  linux: { namespaces: [{ type: 'mount' }, { type: 'network' }], seccomp: { odd: 1e21 } },
  future: { kept: true },
};
const written = async (): Promise<typeof config> =>
  JSON.parse(await readFile(path.join(folder, 'config.json'), 'utf8'));

it('sets the namespace and adds hooks, and keeps all else, its mode too', async () => {
  await writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
  await chmod(path.join(folder, 'config.json'), 0o640);
  const bundle = await readBundle(folder);
  expect([hasOwnNetwork(bundle), hasOwnUsers(bundle)]).toEqual([true, false]);
  expect([annotationsOf(bundle), environmentOf(bundle)]).toEqual([{ 'eru.network/name': 'web' }, { A: '2=3', B: '' }]);
  const added = withHook(withNetwork(bundle, '/run/eru/netns/c1'), 'createRuntime', '/bin/eru-oci', ['ADD', 'c1']);
  const hooked = withHook(added, 'poststop', '/bin/eru-oci', ['DEL', 'c1']);
  expect(withHook(hooked, 'poststop', '/bin/eru-oci', ['DEL', 'c1'])).toEqual(hooked);
  await writeBundle(hooked);
  const hook = (verb: string): object => ({ path: '/bin/eru-oci', args: ['/bin/eru-oci', 'eru-hook', verb, 'c1'] });
  expect(await written()).toEqual({
    ...config,
    linux: { ...config.linux, namespaces: [{ type: 'mount' }, { type: 'network', path: '/run/eru/netns/c1' }] },
    hooks: {
      prestart: config.hooks.prestart,
      createRuntime: [hook('ADD')],
      poststop: [...config.hooks.poststop, hook('DEL')],
    },
  });
  expect((await stat(path.join(folder, 'config.json'))).mode & 0o777).toBe(0o640);
  expect(await readdir(folder)).toEqual(['config.json']);
  expect(hasOwnNetwork(await readBundle(folder))).toBe(false);
});

it('refuses what is no bundle, and names the file', async () => {
  await expect(readBundle(folder)).rejects.toThrow(/config\.json: .*ENOENT/);
  await writeFile(path.join(folder, 'config.json'), '{"ociVersion"');
  await expect(readBundle(folder)).rejects.toThrow(/config\.json: /);
});

const id = 'a'.repeat(64);
async function dockerFolder(named = id): Promise<string> {
  const home = path.join(folder, 'docker/containers', named);
  await mkdir(home, { recursive: true });
  const mine = {
    ID: id,
    Name: '/shop',
    Driver: 'overlay2',
    Image: 'sha256:abc',
    Config: { Hostname: 'shop', Labels: { a: '1', b: '2' } },
  };
  await writeFile(path.join(home, 'config.v2.json'), JSON.stringify(mine));
  const host = {
    NetworkMode: 'none',
    Dns: [],
    PortBindings: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }], '53/udp': [{ HostPort: '' }] },
  };
  await writeFile(path.join(home, 'hostconfig.json'), JSON.stringify(host));
  await writeFile(path.join(home, 'hosts'), '127.0.0.1\tlocalhost\n10.8.0.7\tshop # eru netd\n');
  return home;
}
const mounting = (source: string): Parameters<typeof readDockerContainer>[0] => ({
  folder,
  config: { mounts: [{ destination: '/etc/hosts', source }] },
});

it('knows a container of Docker by the files that are mounted into it', async () => {
  const home = await dockerFolder();
  const container = await readDockerContainer(mounting(path.join(home, 'hosts')), id);
  expect(container).toEqual({
    folder: home,
    networkMode: 'none',
    ports: [
      { containerPort: 80, protocol: 'tcp', hostPort: 8080, hostIp: '' },
      { containerPort: 53, protocol: 'udp', hostPort: 0, hostIp: '' },
    ],
    labels: { a: '1', b: '2' },
    image: 'sha256:abc',
    hostname: 'shop',
    name: 'shop',
    hasDns: false,
  });
  if (container === undefined) return;
  expect(await readImageLabels(container)).toBeUndefined();
  const images = path.join(folder, 'docker/image/overlay2/imagedb/content/sha256');
  await mkdir(images, { recursive: true });
  await writeFile(path.join(images, 'abc'), JSON.stringify({ config: { Labels: { a: '1', b: 'other' } } }));
  expect(ownLabels(container.labels, (await readImageLabels(container)) ?? {})).toEqual({ b: '2' });
  expect(await readImageLabels({ ...container, image: '../../../etc:passwd' })).toBeUndefined();
  const shop = { network: 'web', ifname: 'eth0', state: 'attached', ports: [], digest: '' } as const;
  await writeNames(container, [{ ...shop, addresses: [{ address: '10.8.0.2/24' }] }], ['www']);
  expect(await readFile(path.join(home, 'hosts'), 'utf8')).toBe(
    '127.0.0.1\tlocalhost\n10.8.0.2\tshop www # eru netd\n',
  );
});

it('takes nobody’s word for a container of Docker: a mount of another folder is none', async () => {
  const home = await dockerFolder('other');
  expect(await readDockerContainer(mounting(path.join(home, 'hosts')), id)).toBeUndefined();
  expect(await readDockerContainer(mounting(path.join(home, 'hosts')), 'other')).toBeUndefined();
});
