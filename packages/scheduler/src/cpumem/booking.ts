import type { JsonObject } from '@eru/kit';
import { largerAmounts, type Amounts } from '../amounts.ts';
import { readAmounts, readFloat, readInteger, round9 } from '../lenient.ts';
import { defaultNuma, isNumaPolicy, type CpuMemoryRequest } from './request.ts';

/** What a workload holds on its node, in stored form: `cpu_map` and `numa_memory` only when it is bound. */
export interface Booking extends CpuMemoryRequest {
  readonly cpuMap: Amounts;
  readonly numaMemory: Amounts;
  readonly numaNode: string;
}

export function readBooking(stored: JsonObject): Booking {
  const cpuMap = readAmounts(stored, 'cpu_map');
  const numaNode = stored['numa_node'];
  const policy = stored['numa_policy'];
  return {
    bind: Object.keys(cpuMap).length > 0,
    numa: isNumaPolicy(policy) ? policy : defaultNuma,
    cpuRequest: readFloat(stored, 'cpu_request'),
    cpuLimit: readFloat(stored, 'cpu_limit'),
    memoryRequest: readInteger(stored, 'memory_request'),
    memoryLimit: readInteger(stored, 'memory_limit'),
    cpuMap,
    numaMemory: readAmounts(stored, 'numa_memory'),
    numaNode: typeof numaNode === 'string' ? numaNode : '',
  };
}

export function formatBooking(booking: Booking): JsonObject {
  return {
    cpu_request: booking.cpuRequest,
    cpu_limit: booking.cpuLimit,
    memory_request: booking.memoryRequest,
    memory_limit: booking.memoryLimit,
    cpu_map: orNull(booking.cpuMap),
    numa_memory: orNull(booking.numaMemory),
    numa_node: booking.numaNode,
    // Ours; only where it matters, so that a reader of the original's form meets nothing new.
    ...(booking.bind && booking.numa !== defaultNuma ? { numa_policy: booking.numa } : {}),
  };
}

/** A booking that covers both: while a workload changes, neither its old nor its new amounts can be given to another. */
export function largerBooking(a: JsonObject, b: JsonObject): JsonObject {
  const [left, right] = [readBooking(a), readBooking(b)];
  return formatBooking({
    bind: left.bind || right.bind,
    numa: right.numa,
    cpuRequest: Math.max(left.cpuRequest, right.cpuRequest),
    cpuLimit: Math.max(left.cpuLimit, right.cpuLimit),
    memoryRequest: Math.max(left.memoryRequest, right.memoryRequest),
    memoryLimit: Math.max(left.memoryLimit, right.memoryLimit),
    cpuMap: largerAmounts(left.cpuMap, right.cpuMap),
    numaMemory: largerAmounts(left.numaMemory, right.numaMemory),
    numaNode: right.numaNode,
  });
}

/** The part of a booking that counts as usage. */
export interface Used {
  readonly cpu: number;
  readonly memory: number;
  readonly cpuMap: Amounts;
  readonly numaMemory: Amounts;
}

export const nothingUsed: Used = { cpu: 0, memory: 0, cpuMap: {}, numaMemory: {} };

/** The sum is built in place: a node may hold ten thousand bookings, and a copy of its cores for each is not free. */
export function addBookings(used: Used, bookings: readonly JsonObject[], sign: 1 | -1): Used {
  let { cpu, memory } = used;
  const cpuMap = { ...used.cpuMap };
  const numaMemory = { ...used.numaMemory };
  for (const booking of bookings.map(readBooking)) {
    cpu = round9(cpu + sign * booking.cpuRequest);
    memory += sign * booking.memoryRequest;
    addTo(cpuMap, booking.cpuMap, sign);
    addTo(numaMemory, booking.numaMemory, sign);
  }
  return { cpu, memory, cpuMap, numaMemory };
}

function addTo(sum: Record<string, number>, amounts: Amounts, sign: 1 | -1): void {
  for (const [name, amount] of Object.entries(amounts)) sum[name] = (sum[name] ?? 0) + sign * amount;
}

function orNull(amounts: Amounts): JsonObject | null {
  return Object.keys(amounts).length > 0 ? { ...amounts } : null;
}
