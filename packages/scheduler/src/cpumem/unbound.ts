import type { Allotment, Lack, Measure } from '../kind.ts';
import { share } from '../lenient.ts';
import { formatBooking } from './booking.ts';
import type { CpuMemoryRequest } from './request.ts';
import { fitting } from './room.ts';
import type { NodeState } from './state.ts';

// Workloads without cores of their own: used cores do not matter, CPU is over-committed freely (section 3.3).

export function measureUnbound(
  { layout, memory, memoryUsed }: NodeState,
  request: CpuMemoryRequest,
  measure: Measure,
): void {
  const { memoryRequest } = request;
  if (request.cpuRequest > layout.usable) measure.count = 0;
  else measure.count = fitting(memory - memoryUsed, memoryRequest);
  measure.usage = share(memoryUsed, memory);
  measure.rate = share(memoryRequest, memory);
  measure.weight = 1;
}

export function refuseUnbound({ layout, memory, memoryUsed }: NodeState, request: CpuMemoryRequest): Lack {
  if (request.cpuRequest > layout.usable)
    return { reason: 'cores', needed: request.cpuRequest, free: layout.usable, unit: 'number' };
  return { reason: 'free memory', needed: request.memoryRequest, free: memory - memoryUsed, unit: 'bytes' };
}

export function allotUnbound(request: CpuMemoryRequest): Allotment {
  return {
    resources: formatBooking({ ...request, cpuMap: {}, numaMemory: {}, numaNode: '' }),
    engineParams: { cpu: request.cpuLimit, cpu_map: null, numa_node: '', memory: request.memoryLimit, remap: false },
  };
}
