import { EruError, parseSize, type JsonObject } from '@eru/kit';
import { readBoolean, readFloat, readInteger, round9 } from '../lenient.ts';

/** What one workload asks for: the request is booked, the limit is enforced. Cores and bytes; a limit of 0 is none. */
export interface CpuMemoryRequest {
  readonly bind: boolean;
  readonly cpuRequest: number;
  readonly cpuLimit: number;
  readonly memoryRequest: number;
  readonly memoryLimit: number;
}

export const requestKeys = [
  'cpu',
  'cpu-request',
  'cpu-limit',
  'cpu-bind',
  'keep-cpu-bind',
  'memory',
  'memory-request',
  'memory-limit',
] as const;

/** A deploy's request. @throws EruError `invalid`, with the original's text at the end of the message */
export function parseRequest(raw: JsonObject): CpuMemoryRequest {
  return complete({ ...readAsked(raw), bind: readBoolean(raw, 'cpu-bind') });
}

/** A realloc's request is a delta: amounts are added to the current ones (and may be negative), then checked as if new. */
export function parseDelta(raw: JsonObject, current: CpuMemoryRequest): CpuMemoryRequest {
  const delta = readAsked(raw);
  return complete({
    // "Bind if bound before" and "bind" are two keys because neither of them means: unbind.
    bind: readBoolean(raw, 'keep-cpu-bind') ? current.bind : readBoolean(raw, 'cpu-bind'),
    cpuRequest: round9(current.cpuRequest + delta.cpuRequest),
    cpuLimit: round9(current.cpuLimit + delta.cpuLimit),
    memoryRequest: current.memoryRequest + delta.memoryRequest,
    memoryLimit: current.memoryLimit + delta.memoryLimit,
  });
}

export function formatRequest(request: CpuMemoryRequest): JsonObject {
  return {
    'cpu-bind': request.bind,
    'cpu-request': request.cpuRequest,
    'cpu-limit': request.cpuLimit,
    'memory-request': request.memoryRequest,
    'memory-limit': request.memoryLimit,
  };
}

/** The amounts as given. `cpu` and `memory` stand for request and limit at once, where these are not given themselves. */
function readAsked(raw: JsonObject): Omit<CpuMemoryRequest, 'bind'> {
  const cpu = readFloat(raw, 'cpu');
  const memory = typeof raw['memory'] === 'string' ? parseSize(raw['memory'], 'memory') : readInteger(raw, 'memory');
  return {
    cpuRequest: 'cpu-request' in raw ? readFloat(raw, 'cpu-request') : cpu,
    cpuLimit: 'cpu-limit' in raw ? readFloat(raw, 'cpu-limit') : cpu,
    memoryRequest: 'memory-request' in raw ? readInteger(raw, 'memory-request') : memory,
    memoryLimit: 'memory-limit' in raw ? readInteger(raw, 'memory-limit') : memory,
  };
}

/** The rules of reference/scheduling.md section 3.1, in its order: which of two mistakes is reported is part of the contract. */
function complete(asked: CpuMemoryRequest): CpuMemoryRequest {
  let { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = asked;
  const { bind } = asked;

  if (cpuRequest === 0 && cpuLimit > 0) cpuRequest = cpuLimit;
  refuseNegative('memory-limit', memoryLimit, memoryText);
  refuseNegative('memory-request', memoryRequest, memoryText);
  refuseNegative('cpu-limit', cpuLimit, cpuText);
  refuseNegative('cpu-request', cpuRequest, cpuText);
  if (bind && cpuRequest === 0) {
    throw refused(
      'cpu-request',
      0,
      'bound cores need a CPU request above 0',
      'unlimited request with bind: invalid cpu',
    );
  }
  if (memoryRequest === 0 && memoryLimit > 0) memoryRequest = memoryLimit;
  if (memoryLimit > 0 && memoryLimit < memoryRequest) memoryLimit = memoryRequest;
  if (cpuLimit > 0 && cpuLimit < cpuRequest) cpuLimit = cpuRequest;
  if (bind && cpuLimit > cpuRequest && cpuRequest > 0) cpuRequest = cpuLimit;
  return { bind, cpuRequest, cpuLimit, memoryRequest, memoryLimit };
}

const memoryText = 'limit or request less than 0: invalid memory';
const cpuText = 'limit or request less than 0: invalid cpu';

function refuseNegative(field: string, value: number, original: string): void {
  if (value < 0) throw refused(field, value, 'write 0 for none, or more', original);
}

function refused(field: string, value: number, remedy: string, original: string): EruError {
  return new EruError('invalid', `cpumem ${field}: ${value} is not allowed; ${remedy}: ${original}`, {
    details: { field: `cpumem.${field}`, value, remedy },
  });
}
