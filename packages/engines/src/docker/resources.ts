import { EruError, invalid } from '@eru/kit';
import type { Json } from '@eru/kit';

import type { EngineParams, IoLimit, Limits } from '../engine.ts';
import { limitsOf } from '../limits.ts';
import { fieldsOf } from '../storage-params.ts';
import type { DeviceRate, DockerResources } from './wire-types.ts';

const period = 100_000;
const leastMemory = 4 * 1024 ** 2;
/** Docker refuses to reserve less. */
const leastReserved = 6 * 1024 ** 2;

/**
 * What the resource kinds ask, as docker's resources (reference/core-behaviour.md section 5.3): pieces of bound cores become a
 * cpuset and, of a part of a core, shares; a bound in cores a quota; memory is a bound without swap beyond it.
 * @throws EruError `invalid`
 */
export function resourcesOf(engineParams: EngineParams, pids: number): DockerResources {
  const limits = limitsOf(engineParams);
  const { memoryBytes = 0, cpu, cpuset, memoryNodes, io = [] } = limits;
  if (memoryBytes > 0 && memoryBytes < leastMemory)
    throw invalid('memory', memoryBytes, 'docker gives at least 4 MiB; 0 is no limit');
  if (!Number.isInteger(pids) || pids < 0) throw invalid('pids', pids, 'give a whole number, 0 for no limit');
  const fields = fieldsOf(engineParams);
  return {
    CpuShares: cpuset === undefined || cpu !== undefined ? 1024 : sharesOf(fields['cpu']),
    CpuPeriod: period,
    CpuQuota: cpu === undefined ? (cpuset === undefined ? 0 : -1) : Math.max(1000, Math.round(cpu * period)),
    ...(cpuset !== undefined && { CpusetCpus: cpuset.join(','), CpusetMems: memoryNodes?.join(',') ?? '' }),
    ...(memoryBytes > 0 && {
      Memory: memoryBytes,
      MemorySwap: memoryBytes,
      MemoryReservation: Math.min(memoryBytes, Math.max(leastReserved, Math.floor(memoryBytes / 2))),
    }),
    ...(pids > 0 && { PidsLimit: pids }),
    ...ratesOf(io),
  };
}

/**
 * The whole new set for a live change. What is not limited any more has to be said, because docker keeps what it is not told:
 * all `cores` of the node, no quota, and memory beyond any machine.
 */
export function updateOf(engineParams: EngineParams, present: DockerResources, cores: number): DockerResources {
  if (fieldsOf(engineParams)['volume_changed'] === true)
    throw new EruError('unsupported', 'volumes: docker cannot change the volumes of a container; replace it');
  const wanted = resourcesOf(engineParams, 0);
  for (const name of rateNames) {
    if (JSON.stringify(wanted[name] ?? []) !== JSON.stringify(present[name] ?? []))
      throw new EruError('unsupported', 'IO limits: docker cannot change those of a container; replace it');
  }
  const all = Array.from({ length: cores }, (_, core) => core).join(',');
  return {
    CpuShares: wanted.CpuShares!,
    CpuPeriod: wanted.CpuPeriod!,
    // Docker reads 0 as "as before".
    CpuQuota: wanted.CpuQuota === 0 ? -1 : wanted.CpuQuota!,
    CpusetCpus: wanted.CpusetCpus ?? all,
    ...(wanted.CpusetMems !== undefined && { CpusetMems: wanted.CpusetMems }),
    Memory: wanted.Memory ?? unlimited,
    MemorySwap: wanted.MemorySwap ?? unlimited,
    MemoryReservation: wanted.MemoryReservation ?? unlimited,
  };
}

const unlimited = Number.MAX_SAFE_INTEGER - (Number.MAX_SAFE_INTEGER % 4096);

/** What a container is limited to by docker's own word, in our terms; `cores` of the node are no limit. */
export function limitsOfResources(resources: DockerResources, cores: number): Limits {
  const { CpuQuota = 0, CpuPeriod = 0, Memory = 0, PidsLimit, CpusetCpus = '', CpusetMems = '' } = resources;
  const cpuset = listOf(CpusetCpus);
  const nodes = listOf(CpusetMems);
  const io = limitsOfRates(resources);
  return {
    ...(CpuQuota > 0 && { cpu: CpuQuota / (CpuPeriod || period) }),
    ...(Memory > 0 && Memory < unlimited && { memoryBytes: Memory }),
    ...(typeof PidsLimit === 'number' && PidsLimit > 0 && { pids: PidsLimit }),
    ...(cpuset.length > 0 && cpuset.length < cores && { cpuset }),
    ...(nodes.length > 0 && { memoryNodes: nodes }),
    ...(io.length > 0 && { io }),
  };
}

/** Kernel lists: `0-2,5` is 0, 1, 2, 5. */
export function listOf(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    })
    .toSorted((a, b) => a - b);
}

/** Weight on a core of which it has bought only a part. */
function sharesOf(cpu: Json | undefined): number {
  const part = typeof cpu === 'number' && cpu > 0 ? cpu % 1 : 0;
  return part === 0 ? 1024 : Math.max(2, Math.round(1024 * part));
}

const rateNames = [
  'BlkioDeviceReadIOps',
  'BlkioDeviceWriteIOps',
  'BlkioDeviceReadBps',
  'BlkioDeviceWriteBps',
] as const satisfies readonly (keyof DockerResources)[];

/** Of each device what is limited, in docker's four lists. */
function ratesOf(limits: readonly IoLimit[]): DockerResources {
  const rates: Partial<Record<(typeof rateNames)[number], DeviceRate[]>> = {};
  for (const { device, readIops, writeIops, readBps, writeBps } of limits) {
    [readIops, writeIops, readBps, writeBps].forEach((rate, index) => {
      const name = rateNames[index];
      if (rate !== undefined && name !== undefined) (rates[name] ??= []).push({ Path: device, Rate: rate });
    });
  }
  return rates;
}

function limitsOfRates(resources: DockerResources): IoLimit[] {
  const limits = new Map<string, IoLimit>();
  const names = ['readIops', 'writeIops', 'readBps', 'writeBps'] as const;
  rateNames.forEach((list, index) => {
    const name = names[index];
    for (const { Path, Rate } of resources[list] ?? [])
      if (name !== undefined) limits.set(Path, { ...(limits.get(Path) ?? { device: Path }), [name]: Rate });
  });
  return [...limits.values()].toSorted((a, b) => (a.device < b.device ? -1 : 1));
}
