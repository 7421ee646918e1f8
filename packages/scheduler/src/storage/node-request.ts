import type { JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import { readTexts } from '../lenient.ts';
import type { MachineInfo } from '../model.ts';
import { refused } from '../refused.ts';
import { addDisks, parseDisk, type Disk } from './disk.ts';
import { alignUsed, checkNode, nothing, readHoldings, type Holdings } from './node.ts';
import { parseStorage, readSize } from './size.ts';

/** What an operator writes of a node (section 4.1); a part that is absent was not given. `storage` is beside the volumes. */
interface NodeRequest {
  readonly storage?: number;
  readonly volumes?: Amounts;
  readonly disks?: readonly Disk[];
  readonly withoutDisks: readonly string[];
}

/** A new node: what the request leaves open comes from its machine, of the storage 80 %. @throws EruError `invalid` */
export function addNode(raw: JsonObject, info: MachineInfo): KindNode {
  const request = parseNodeRequest(raw);
  const machine = readHoldings(info.resources['storage'] ?? {});
  const given = request.storage !== undefined || request.volumes !== undefined;
  const capacity: Holdings = {
    storage: given
      ? (request.storage ?? 0) + total(request.volumes ?? {})
      : Math.floor(((machine.storage || info.storage) * 8) / 10),
    volumes: request.volumes ?? machine.volumes,
    disks: addDisks([], request.disks ?? machine.disks),
  };
  return checkNode(capacity, alignUsed(nothing, capacity));
}

/**
 * `delta`: amounts add up, and may be negative; a volume that ends at 0 is gone. Else what is given replaces what was there,
 * and the storage beside the volumes stays unless it is given too. @throws EruError `invalid`
 */
export function setCapacity(node: KindNode, raw: JsonObject, delta: boolean): KindNode {
  const request = parseNodeRequest(raw);
  const before = readHoldings(node.capacity);
  const capacity = delta ? added(before, request) : replaced(before, request);
  return checkNode(capacity, alignUsed(readHoldings(node.usage), capacity));
}

function added(before: Holdings, { storage = 0, volumes = {}, disks = [], withoutDisks }: NodeRequest): Holdings {
  if (withoutDisks.length > 0)
    throw refused(
      'storage rm-disks',
      withoutDisks.join(','),
      'a disk is removed without delta, when the whole capacity is set',
      'invalid engine args',
    );
  const sum = addAmounts(before.volumes, volumes);
  return {
    storage: before.storage + storage + total(volumes),
    volumes: Object.fromEntries(Object.entries(sum).filter(([, bytes]) => bytes !== 0)),
    disks: addDisks(before.disks, disks),
  };
}

function replaced(before: Holdings, request: NodeRequest): Holdings {
  const volumes = request.volumes ?? before.volumes;
  const beside = request.storage ?? before.storage - total(before.volumes);
  const kept = before.disks.filter(({ device }) => !request.withoutDisks.includes(device));
  return {
    storage: beside + total(volumes),
    volumes,
    disks: request.disks === undefined ? kept : addDisks([], request.disks),
  };
}

function parseNodeRequest(raw: JsonObject): NodeRequest {
  const volumes = readTexts(raw, 'volumes');
  const disks = readTexts(raw, 'disks');
  const storage = parseStorage(raw['storage'], 'storage storage');
  const withoutDisks = raw['rm-disks'];
  return {
    ...(storage === undefined ? {} : { storage }),
    ...(volumes.length === 0 ? {} : { volumes: parseVolumes(volumes) }),
    ...(disks.length === 0 ? {} : { disks: disks.map(parseDisk) }),
    withoutDisks:
      typeof withoutDisks === 'string'
        ? withoutDisks
            .split(',')
            .map((device) => device.trim())
            .filter(Boolean)
        : [],
  };
}

function parseVolumes(texts: readonly string[]): Amounts {
  const volumes = texts.map((text): [string, number] => {
    const [path = '', size = '', ...rest] = text.split(':');
    const bytes = size === '' ? undefined : readSize(size);
    if (path === '' || bytes === undefined || rest.length > 0)
      throw refused('storage volumes', text, 'write path:size, such as /data:100G', 'invalid volume');
    return [path, bytes];
  });
  return Object.fromEntries(volumes);
}

function total(volumes: Amounts): number {
  return Object.values(volumes).reduce((sum, bytes) => sum + bytes, 0);
}
