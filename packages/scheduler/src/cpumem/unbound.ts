import type { Allotment, Lack, Measure } from '../kind.ts';
import { share } from '../lenient.ts';
import { unlimited } from '../model.ts';
import { formatBooking } from './booking.ts';
import type { CpuMemoryRequest } from './request.ts';

/** What unbound workloads see of a node: used cores do not matter, CPU is over-committed freely (section 3.3). */
export interface Pool {
  readonly cores: number;
  readonly memory: number;
  readonly memoryUsed: number;
}

export function measureUnbound(pool: Pool, request: CpuMemoryRequest, measure: Measure): void {
  const { memoryRequest } = request;
  if (request.cpuRequest > pool.cores) measure.count = 0;
  else if (memoryRequest === 0) measure.count = unlimited;
  // A node whose capacity was lowered below its usage has less than nothing free.
  else measure.count = Math.max(0, Math.floor((pool.memory - pool.memoryUsed) / memoryRequest));
  measure.usage = share(pool.memoryUsed, pool.memory);
  measure.rate = share(memoryRequest, pool.memory);
  measure.weight = 1;
}

export function refuseUnbound(pool: Pool, request: CpuMemoryRequest): Lack {
  if (request.cpuRequest > pool.cores)
    return { reason: 'cores', needed: request.cpuRequest, free: pool.cores, unit: 'number' };
  return { reason: 'free memory', needed: request.memoryRequest, free: pool.memory - pool.memoryUsed, unit: 'bytes' };
}

export function allotUnbound(request: CpuMemoryRequest): Allotment {
  return {
    resources: formatBooking({ ...request, cpuMap: {}, numaMemory: {}, numaNode: '' }),
    engineParams: { cpu: request.cpuLimit, cpu_map: null, numa_node: '', memory: request.memoryLimit, remap: false },
  };
}
