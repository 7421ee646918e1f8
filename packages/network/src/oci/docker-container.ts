import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

import { EruError, invalid, isErrno, isJsonObject, type JsonObject } from '@eru/kit';

import type { AttachedInterface, InterfaceRequest } from '../netd/sandbox.ts';
import { mountedAt, textsOf, type Bundle } from './bundle.ts';

/** What dockerd has on disk of a container. It cannot be asked while it starts one: it holds that container's lock. */
export interface DockerContainer {
  /** Its files: `hosts` and `resolv.conf` among them, which are mounted into it. */
  readonly folder: string;
  /** `none`, `bridge`, … */
  readonly networkMode: string;
  /** As `-p` and `-P` publish them. */
  readonly ports: NonNullable<InterfaceRequest['ports']>;
  /** Its own and its image's: nobody can tell them apart here. */
  readonly labels: Readonly<Record<string, string>>;
  readonly image: string;
  readonly hostname: string;
  readonly name: string;
  /** It was given name servers. */
  readonly hasDns: boolean;
}

/** By the files that dockerd mounts into each container. Undefined for containers of other engines. */
export async function readDockerContainer(bundle: Bundle, id: string): Promise<DockerContainer | undefined> {
  const folder = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf']
    .map((destination) => mountedAt(bundle, destination))
    .filter((source) => source !== undefined)
    .map((source) => path.dirname(source))
    .find((candidate) => path.basename(candidate) === id);
  if (folder === undefined) return undefined;
  const [container, host] = await Promise.all(
    ['config.v2.json', 'hostconfig.json'].map((name) => readObject(path.join(folder, name))),
  );
  if (container?.['ID'] !== id || host === undefined) return undefined;
  const config = objectAt(container, 'Config');
  return {
    folder,
    networkMode: textAt(host, 'NetworkMode'),
    // Read where they are wanted: what others publish is not ours to refuse.
    get ports() {
      return portsOf(host, objectAt(config, 'ExposedPorts'));
    },
    labels: labelsAt(config),
    image: textAt(container, 'Image'),
    hostname: textAt(config, 'Hostname'),
    name: textAt(container, 'Name').replace(/^\//, ''),
    hasDns: Array.isArray(host['Dns']) && host['Dns'].length > 0,
  };
}

/** Labels of the image as dockerd keeps it beside its containers; undefined where it keeps images otherwise. */
export async function readImageLabels({ folder, image }: DockerContainer): Promise<Record<string, string> | undefined> {
  const container = await readObject(path.join(folder, 'config.v2.json'));
  const driver = container === undefined ? '' : textAt(container, 'Driver');
  const [algorithm = '', digest = ''] = image.split(':');
  if (!/^[a-z0-9]+$/.test(algorithm) || !/^[0-9a-f]+$/.test(digest) || !/^[A-Za-z0-9_-]+$/.test(driver))
    return undefined;
  const root = path.dirname(path.dirname(folder));
  const found = await readObject(path.join(root, 'image', driver, 'imagedb/content', algorithm, digest));
  return found === undefined ? undefined : labelsAt(objectAt(found, 'config'));
}

/** Labels that are the container's own: those that its image has too, with the same value, are not. */
export function ownLabels(
  labels: Readonly<Record<string, string>>,
  ofImage: Readonly<Record<string, string>>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).filter(([name, value]) => ofImage[name] !== value));
}

/** Its names by each of its addresses, and its network's name servers, in the files that it sees. */
export async function writeNames(
  container: DockerContainer,
  interfaces: readonly AttachedInterface[],
  aliases: readonly string[],
): Promise<void> {
  const { folder, hostname, hasDns } = container;
  const file = path.join(folder, 'hosts');
  const mark = '# eru netd';
  const before = (await readFile(file, 'utf8')).split('\n').filter((line) => !line.endsWith(mark));
  const names = [...new Set([hostname, ...aliases])].filter((name) => name !== '').join(' ');
  const lines = interfaces.flatMap(({ addresses }) =>
    addresses.map(({ address }) => `${address.split('/')[0]}\t${names} ${mark}`),
  );
  // In place: it may be mounted already.
  await writeFile(file, `${[...before.filter((line) => line !== ''), ...(names === '' ? [] : lines)].join('\n')}\n`);
  const dns = interfaces.find((one) => one.dns !== undefined)?.dns;
  if (dns === undefined || hasDns) return;
  const search = dns.search.length === 0 ? [] : [`search ${dns.search.join(' ')}`];
  const text = [...dns.nameservers.map((server) => `nameserver ${server}`), ...search].join('\n');
  await writeFile(path.join(folder, 'resolv.conf'), `${text}\n`);
}

/** Published one by one, and with `PublishAllPorts` what is exposed besides. @throws EruError `invalid` */
function portsOf(host: JsonObject, exposed: JsonObject): DockerContainer['ports'] {
  const bindings = objectAt(host, 'PortBindings');
  const published = Object.entries(bindings).flatMap(([name, hosts]) =>
    (Array.isArray(hosts) ? hosts : []).filter(isJsonObject).map((one) => {
      const hostPort = textAt(one, 'HostPort');
      if (!/^\d*$/.test(hostPort))
        throw invalid(`-p ${hostPort}:${name}`, hostPort, 'write one port; networks of Eru take no ranges');
      const hostIp = textAt(one, 'HostIp');
      return {
        ...containerPort(name),
        hostPort: Number(hostPort),
        hostIp: ['0.0.0.0', '::'].includes(hostIp) ? '' : hostIp,
      };
    }),
  );
  if (host['PublishAllPorts'] !== true) return published;
  return [
    ...published,
    ...Object.keys(exposed)
      .filter((name) => !Object.hasOwn(bindings, name))
      .map(containerPort),
  ];
}

/** `80/tcp` */
function containerPort(name: string): { containerPort: number; protocol: 'tcp' } {
  const [port = '', protocol = 'tcp'] = name.split('/');
  return { containerPort: Number(port), protocol: protocol as 'tcp' };
}

async function readObject(file: string): Promise<JsonObject | undefined> {
  try {
    const value: unknown = JSON.parse(await readFile(file, 'utf8'));
    return isJsonObject(value) ? value : undefined;
  } catch (cause) {
    if (isErrno(cause, 'ENOENT')) return undefined;
    throw new EruError('failed', `${file}: ${EruError.from(cause).message}`, { cause });
  }
}

function objectAt(value: JsonObject, name: string): JsonObject {
  const found = value[name];
  return isJsonObject(found) ? found : {};
}

function textAt(value: JsonObject, name: string): string {
  const found = value[name];
  return typeof found === 'string' ? found : '';
}

function labelsAt(config: JsonObject): Record<string, string> {
  return textsOf(config['Labels']);
}
