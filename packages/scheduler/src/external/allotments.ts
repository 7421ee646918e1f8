import { EruError, type JsonObject } from '@eru/kit';
import type { Allotment } from '../kind.ts';
import type { PlannedInstance } from '../model.ts';

/**
 * A plan whose instances hold what an external kind gave to each chosen node: for every node as many allotments as it has
 * instances, in order. As with other kinds, nothing is left out rather than recorded. @throws EruError `internal` when the kind answered another number
 */
export function withAllotments(
  instances: readonly PlannedInstance[],
  kind: string,
  allotments: ReadonlyMap<string, readonly Allotment[]>,
): PlannedInstance[] {
  const used = new Map<string, number>();
  const filled = instances.map((instance) => {
    const index = used.get(instance.node) ?? 0;
    used.set(instance.node, index + 1);
    const allotment = allotments.get(instance.node)?.[index];
    if (allotment === undefined) throw wrongCount(kind, instance.node, index);
    if (isEmpty(allotment.resources) && isEmpty(allotment.engineParams)) return instance;
    return {
      ...instance,
      resources: { ...instance.resources, [kind]: allotment.resources },
      engineParams: { ...instance.engineParams, [kind]: allotment.engineParams },
    };
  });
  for (const [node, given] of allotments) {
    if (given.length !== (used.get(node) ?? 0)) throw wrongCount(kind, node, given.length);
  }
  return filled;
}

function isEmpty(object: JsonObject): boolean {
  return Object.keys(object).length === 0;
}

function wrongCount(kind: string, node: string, given: number): EruError {
  return new EruError(
    'internal',
    `resource kind ${kind} gave ${given} allotments on node ${node}, another number than asked`,
  );
}
