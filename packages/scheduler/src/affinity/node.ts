import { isJsonObject } from '@eru/kit';
import type { Labels, PlannedNode } from '../model.ts';

/** A node's labels; those that were given to this kind itself stand in where nobody else knows the node (`eru kind`). */
export function nodeLabels({ labels, resources }: PlannedNode): Labels {
  const own = resources.capacity['affinity']?.['labels'];
  return isJsonObject(own) ? { ...(own as Labels), ...labels } : labels;
}
