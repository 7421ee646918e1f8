import type { Json, JsonObject } from '@eru/kit';
import type { Labels, Resources, Strategy } from '../model.ts';
import { complaint, labelsAt, objectAt, onlyKeys, resourcesAt, wholeAt } from './document.ts';

/** A request without a cluster: which nodes it may use is said by the list of nodes. */
export interface StandaloneRequest {
  readonly resources: Resources;
  readonly count: number;
  readonly strategy: Strategy;
  readonly nodesLimit: number;
  /** Of the workload; `app` and `entrypoint` tell which workloads are its like. */
  readonly labels: Labels;
}

const strategies = ['AUTO', 'FILL', 'EACH', 'GLOBAL', 'DRAINED'] as const;

/** `{"resources": {kind: {…}}, "count": 1, "strategy": "AUTO", "nodes_limit": 0, "labels": {}}`. @throws EruError `invalid` */
export function readRequest(document: JsonObject): StandaloneRequest {
  onlyKeys(document, '', ['resources', 'count', 'strategy', 'nodes_limit', 'labels']);
  const { resources, count = 1, strategy = 'AUTO', nodes_limit: nodesLimit = 0, labels } = document;
  objectAt(resources, 'resources', 'what each instance needs, such as {"cpumem": {"cpu-request": 1}}');
  return {
    resources: resourcesAt(resources, 'resources'),
    count: wholeAt(count, 'count', 1),
    strategy: readStrategy(strategy),
    nodesLimit: wholeAt(nodesLimit, 'nodes_limit', 0),
    labels: labelsAt(labels, 'labels'),
  };
}

function readStrategy(value: Json): Strategy {
  const known = strategies.find((strategy) => strategy === value);
  if (known === undefined) throw complaint('strategy', value, `write one of ${strategies.join(', ')}`);
  return known;
}
