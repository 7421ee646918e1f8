import { EruError, parseSize, type Json, type JsonObject } from '@eru/kit';
import type { Settings } from '../kind.ts';
import { readBoolean, readFloat, readInteger, round9 } from '../lenient.ts';
import { coreShare, type CoreShare } from './share.ts';

/** What one workload asks for: the request is booked, the limit is enforced. Cores and bytes; a limit of 0 is none. */
export interface CpuMemoryRequest {
  readonly bind: boolean;
  /** Of a bound workload; an unbound one has the default and it means nothing. */
  readonly numa: NumaPolicy;
  readonly cpuRequest: number;
  readonly cpuLimit: number;
  readonly memoryRequest: number;
  readonly memoryLimit: number;
}

/** A request for cores of its own. */
export interface BoundRequest extends CpuMemoryRequest {
  readonly share: CoreShare;
}

/**
 * `none`: NUMA nodes do not matter. `prefer`: within one if one holds it, else across. `require`: within one or not at all,
 * where the machine has any.
 */
export type NumaPolicy = 'none' | 'prefer' | 'require';

export const defaultNuma: NumaPolicy = 'prefer';

export function isNumaPolicy(value: Json | undefined): value is NumaPolicy {
  return value === 'none' || value === 'prefer' || value === 'require';
}

export const requestKeys = [
  'cpu',
  'cpu-request',
  'cpu-limit',
  'cpu-bind',
  'keep-cpu-bind',
  'numa',
  'memory',
  'memory-request',
  'memory-limit',
] as const;

/** A deploy's request. @throws EruError `invalid`, with the original's text at the end of the message */
export function parseRequest(raw: JsonObject, settings: Settings): CpuMemoryRequest {
  const bind = readBoolean(raw, 'cpu-bind');
  return complete({ ...readAsked(raw), bind, numa: readNuma(raw, bind) ?? defaultNuma }, settings);
}

/** A realloc's request is a delta: amounts are added to the current ones (and may be negative), then checked as if new. */
export function parseDelta(raw: JsonObject, current: CpuMemoryRequest, settings: Settings): CpuMemoryRequest {
  const delta = readAsked(raw);
  // "Bind if bound before" and "bind" are two keys because neither of them means: unbind.
  const bind = readBoolean(raw, 'keep-cpu-bind') ? current.bind : readBoolean(raw, 'cpu-bind');
  return complete(
    {
      bind,
      numa: readNuma(raw, bind) ?? (bind ? current.numa : defaultNuma),
      cpuRequest: round9(current.cpuRequest + delta.cpuRequest),
      cpuLimit: round9(current.cpuLimit + delta.cpuLimit),
      memoryRequest: current.memoryRequest + delta.memoryRequest,
      memoryLimit: current.memoryLimit + delta.memoryLimit,
    },
    settings,
  );
}

export function isBound(request: CpuMemoryRequest): request is BoundRequest {
  return request.bind;
}

export function formatRequest(request: CpuMemoryRequest): JsonObject {
  return {
    'cpu-bind': request.bind,
    ...(request.bind ? { numa: request.numa } : {}),
    'cpu-request': request.cpuRequest,
    'cpu-limit': request.cpuLimit,
    'memory-request': request.memoryRequest,
    'memory-limit': request.memoryLimit,
  };
}

/** Absent and empty are "not given". */
function readNuma(raw: JsonObject, bind: boolean): NumaPolicy | undefined {
  const value = raw['numa'] ?? '';
  if (value === '') return undefined;
  if (!isNumaPolicy(value)) throw refused('numa', value, 'write none, prefer or require', 'invalid numa');
  if (!bind && value === 'require')
    throw refused('numa', value, 'only bound cores can be kept in one NUMA node: add cpu-bind', 'invalid numa');
  return value;
}

/** The amounts as given. `cpu` and `memory` stand for request and limit at once, where these are not given themselves. */
function readAsked(raw: JsonObject): Omit<CpuMemoryRequest, 'bind' | 'numa'> {
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
function complete(asked: CpuMemoryRequest, settings: Settings): CpuMemoryRequest | BoundRequest {
  let { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = asked;
  const { bind, numa } = asked;

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
  const request = { bind, numa, cpuRequest, cpuLimit, memoryRequest, memoryLimit };
  return bind ? { ...request, share: boundShare(cpuRequest, settings) } : request;
}

/** The original never ends on a request below one piece (section 8). */
function boundShare(cpu: number, settings: Settings): CoreShare {
  const share = coreShare(cpu, settings);
  if (share.whole > 0 || share.fragment > 0) return share;
  const { shareBase } = settings;
  const remedy = `a core is bound in ${shareBase} pieces, ask for ${1 / shareBase} or more`;
  throw refused('cpu-request', cpu, remedy, 'invalid cpu');
}

const memoryText = 'limit or request less than 0: invalid memory';
const cpuText = 'limit or request less than 0: invalid cpu';

function refuseNegative(field: string, value: number, original: string): void {
  if (value < 0) throw refused(field, value, 'write 0 for none, or more', original);
}

function refused(field: string, value: Json, remedy: string, original: string): EruError {
  return new EruError(
    'invalid',
    `cpumem ${field}: ${typeof value === 'string' ? value : JSON.stringify(value)} is not allowed; ${remedy}: ${original}`,
    {
      details: { field: `cpumem.${field}`, value, remedy },
    },
  );
}
