import type { JsonObject } from '@eru/kit';
import type { KindNode, Settings } from '../kind.ts';
import { readBooking } from './booking.ts';
import { readCapacity, readUsed } from './node.ts';

/**
 * Workloads without cores of their own share the cores that nobody has bound. Each gets that pool anew whenever bindings
 * change; where every core is bound they share all of them (section 3.7).
 */
export function remap(
  node: KindNode,
  workloads: ReadonlyMap<string, JsonObject>,
  settings: Settings,
): ReadonlyMap<string, JsonObject> {
  const pool = sharedPool(node, settings.shareBase);
  const changed = new Map<string, JsonObject>();
  for (const [id, stored] of workloads) {
    const booking = readBooking(stored);
    if (booking.bind) continue;
    changed.set(id, {
      cpu: booking.cpuLimit,
      cpu_map: pool,
      numa_node: booking.numaNode,
      memory: booking.memoryLimit,
      remap: true,
    });
  }
  return changed;
}

function sharedPool(node: KindNode, shareBase: number): JsonObject {
  const { cpuMap: capacity, reserved } = readCapacity(node.capacity);
  const { cpuMap: used } = readUsed(node.usage);
  const cores = Object.keys(capacity).filter((core) => !reserved.includes(core));
  const free = cores.filter((core) => (capacity[core] ?? 0) - (used[core] ?? 0) >= shareBase);
  return Object.fromEntries((free.length > 0 ? free : cores).map((core) => [core, shareBase]));
}
