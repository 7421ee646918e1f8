import { isJsonObject, type JsonObject } from '@eru/kit';
import { addAmounts, type Amounts } from '../amounts.ts';
import type { KindNode } from '../kind.ts';
import type { MachineInfo } from '../model.ts';
import { refused } from '../refused.ts';
import {
  checkNode,
  nothingUsed,
  readCapacity,
  readDevice,
  readUsed,
  withoutZeros,
  type Capacity,
  type Device,
} from './node.ts';
import { checkCounts, readCounts } from './request.ts';

/** What an operator writes of a node: counts by product, and devices by id, where `null` takes one away. */
interface NodeRequest {
  readonly products: Amounts;
  readonly devices: ReadonlyMap<string, Device | undefined>;
}

/** A new node: the operator's GPUs, or those that its engine tells of. @throws EruError `invalid` */
export function addNode(raw: JsonObject, info: MachineInfo): KindNode {
  const asked = parseNodeRequest(raw);
  const request = isEmpty(asked) ? parseNodeRequest(info.resources['gpu'] ?? {}) : asked;
  checkCounts(request.products);
  return checkNode(settle({ products: {}, devices: [] }, request.products, request), nothingUsed);
}

/** `delta`: counts add up, and may be negative; else they replace. Devices are added one by one either way. @throws EruError `invalid` */
export function setCapacity(node: KindNode, raw: JsonObject, delta: boolean): KindNode {
  const request = parseNodeRequest(raw);
  const before = readCapacity(node.capacity);
  if (isEmpty(request)) return node;
  const replaces = Object.keys(request.products).length > 0;
  if (!delta) checkCounts(request.products);
  const products = delta
    ? addAmounts(before.products, request.products)
    : replaces
      ? request.products
      : before.products;
  return checkNode(settle(before, products, request), readUsed(node.usage));
}

/** A product whose devices are known has as many as these; a count that says otherwise is a mistake. */
function settle(before: Capacity, products: Amounts, request: NodeRequest): Capacity {
  const byId = new Map(before.devices.map((device) => [device.id, device]));
  for (const [id, device] of request.devices) {
    if (device === undefined) byId.delete(id);
    else byId.set(id, device);
  }
  const devices = [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  const counted: Record<string, number> = { ...products };
  for (const product of new Set([...before.devices, ...devices].map((device) => device.product))) {
    const known = devices.filter((device) => device.product === product).length;
    if (product in request.products && counted[product] !== known)
      throw refused(
        `gpu prod_count_map[${product}]`,
        counted[product] as number,
        `${known} devices of this product are named; name all of them under devices, or none`,
        'invalid gpu map',
      );
    counted[product] = known;
  }
  return { products: withoutZeros(counted), devices };
}

function parseNodeRequest(raw: JsonObject): NodeRequest {
  const named = raw['devices'] ?? {};
  if (!isJsonObject(named)) throw refused('gpu devices', named, example, 'invalid gpu map');
  const devices = new Map<string, Device | undefined>();
  for (const [id, value] of Object.entries(named)) {
    const [device] = readDevice(id, value);
    if (value !== null && (device === undefined || device.product.trim() === '' || id.trim() === ''))
      throw refused(`gpu devices[${id}]`, value, example, 'invalid gpu product');
    devices.set(id, device);
  }
  return { products: readCounts(raw), devices };
}

function isEmpty({ products, devices }: NodeRequest): boolean {
  return Object.keys(products).length === 0 && devices.size === 0;
}

const example = 'write devices by id, such as {"GPU-1":{"product":"a100","numa":"0"}}, or null to take one away';
