import type { Port } from '@eru/network';
import { invalid, isJsonObject, type JsonObject } from '@eru/kit';

import { canonicalFields, objectAt } from './exact-json.ts';

interface WantedPort {
  containerPort: number;
  protocol: Port['protocol'];
  hostPort?: number;
  hostIp?: string;
}

/**
 * What is published: `HostConfig.PortBindings`, and with `PublishAllPorts` whatever the request or the image (`imagePorts`, `80/tcp`)
 * exposes. No port of the host means a free one. @throws EruError `invalid`
 */
export function portsOf(body: JsonObject, imagePorts: readonly string[]): WantedPort[] {
  const host = objectAt(body, 'HostConfig', 'the request');
  const bindings = objectAt(host, 'PortBindings', 'HostConfig');
  const wanted = Object.entries(bindings).flatMap(([key, list]) => bindingsOf(key, list));
  if (host['PublishAllPorts'] !== true) return wanted;
  const exposed = [...Object.keys(objectAt(body, 'ExposedPorts', 'the request')), ...imagePorts].map((key) =>
    containerPort('ExposedPorts', key),
  );
  const open = exposed.filter(
    (port, index) =>
      !wanted.some((one) => samePort(one, port)) && exposed.findIndex((o) => samePort(o, port)) === index,
  );
  return [...wanted, ...open];
}

function bindingsOf(key: string, list: unknown): WantedPort[] {
  const where = `PortBindings ${key}`;
  const port = containerPort('PortBindings', key);
  if (list !== null && !Array.isArray(list))
    throw invalid(where, JSON.stringify(list), 'a list of bindings is expected');
  return (list ?? []).map((binding: unknown): WantedPort => {
    if (!isJsonObject(binding)) throw invalid(where, JSON.stringify(binding), 'write {"HostIp", "HostPort"}');
    canonicalFields(binding, ['HostIp', 'HostPort'], where);
    const { HostIp: hostIp = '', HostPort: text = '' } = binding;
    if (typeof hostIp !== 'string') throw invalid(`${where}: HostIp`, JSON.stringify(hostIp), 'write an address');
    if (typeof text !== 'string' || !/^\d{0,5}$/.test(text) || Number(text) > 65_535)
      throw invalid(`${where}: HostPort`, JSON.stringify(text), 'write one port; networks of Eru take no ranges');
    return {
      ...port,
      ...(Number(text) > 0 && { hostPort: Number(text) }),
      ...(!['', '0.0.0.0', '::'].includes(hostIp) && { hostIp }),
    };
  });
}

function containerPort(field: string, key: string): Pick<WantedPort, 'containerPort' | 'protocol'> {
  const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/i.exec(key);
  const port = Number(match?.[1]);
  if (match === null || port < 1 || port > 65_535) throw invalid(field, key, 'write PORT/PROTOCOL, such as 80/tcp');
  return { containerPort: port, protocol: (match[2]?.toLowerCase() ?? 'tcp') as Port['protocol'] };
}

function samePort(one: WantedPort, other: WantedPort): boolean {
  return one.containerPort === other.containerPort && one.protocol === other.protocol;
}
