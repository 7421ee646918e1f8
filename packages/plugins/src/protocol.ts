import type { JsonObject } from '@eru/kit';

// The original's binary plugin protocol (reference/scheduling.md section 2): one process per call, `<path> <command>`, one
// JSON object on standard input, one JSON document on standard output. Every key is always sent; what is absent is `null`.

/** What each command reads. */
export interface Requests {
  'calculate-deploy': { nodename: string; deploy_count: number; workload_resource_request: JsonObject | null };
  'calculate-realloc': {
    nodename: string;
    workload_resource: JsonObject | null;
    /** A delta: amounts are added to the current ones. */
    workload_resource_request: JsonObject | null;
  };
  'calculate-remap': { nodename: string; workloads_resource: Record<string, JsonObject> };
  'add-node': { nodename: string; resource: JsonObject | null; info: MachineOnWire | null };
  'remove-node': { nodename: string };
  /** `workload_resource` is the *request*, in spite of its name. */
  'get-nodes-deploy-capacity': { nodenames: readonly string[]; workload_resource: JsonObject | null };
  'set-node-resource-capacity': NodeChange;
  'get-node-resource-info': NodeWorkloads;
  'set-node-resource-info': { nodename: string; capacity: JsonObject; usage: JsonObject };
  'set-node-resource-usage': NodeChange & { workloads_resource: readonly JsonObject[] | null };
  'get-most-idle-node': { nodenames: readonly string[] };
  'fix-node-resource': NodeWorkloads;
  'get-metrics-description': Record<string, never>;
  'get-metrics': { podname: string; nodename: string };
}

export type Command = keyof Requests;

interface NodeWorkloads {
  nodename: string;
  workloads_resource: readonly JsonObject[] | null;
}

/**
 * One source counts, in this order: request, resource, workloads (usage only). Without `delta` it replaces what is there;
 * with it, it is added (`incr`) or subtracted.
 */
interface NodeChange {
  nodename: string;
  /** Stored form. */
  resource: JsonObject | null;
  /** Operator's form. */
  resource_request: JsonObject | null;
  delta: boolean;
  incr: boolean;
}

export interface MachineOnWire {
  Type: string;
  ID: string;
  NCPU: number;
  MemTotal: number;
  StorageTotal: number;
  /** Plugin name -> base64 of its JSON. */
  Resources: Record<string, string>;
}
