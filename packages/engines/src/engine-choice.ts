import { EruError } from '@eru/kit';

import type { WorkloadSpec } from './engine.ts';

/** Engines that a workload may ask for by name (`WorkloadSpec.engine`). */
export const engineNames = ['docker', 'process'] as const;

/** Which engine of a node a workload is for: the one that it names, else docker when it has an image, else process. */
export function engineOf({ engine, image }: Pick<WorkloadSpec, 'engine' | 'image'>): string {
  if (engine !== '') return engine;
  return image === '' ? 'process' : 'docker';
}

/**
 * Why a node cannot run what is for `wanted`, by the type that its engine tells (`process+docker` where there are several); undefined
 * where it can, or tells of an engine that takes whatever comes.
 */
export function lacksEngine(type: string, wanted: string): string | undefined {
  const has = type.split('+');
  const choosy = has.every((name) => engineNames.some((known) => known === name));
  return choosy && !has.includes(wanted) ? `runs ${has.join(' and ')}, not ${wanted}` : undefined;
}

/** For an engine that stands alone: refuses what asks for another. @throws EruError `unsupported` */
export function checkEngine(spec: Pick<WorkloadSpec, 'engine'>, name: string): void {
  if (spec.engine !== '' && spec.engine !== name)
    throw new EruError('unsupported', `engine: this node has ${name} and not ${spec.engine}`);
}
