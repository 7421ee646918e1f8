import type { CallContext, eru, pb } from '@eru/contract';

import type { Role } from '../../state/records.ts';
import { mayDo } from '../../trust/tokens.ts';

/** What somebody may do. A machine that has joined is a `node`, one that shows a token for it may `join`. */
export type Access = Role | 'node' | 'join';

/** What a caller must be allowed to do at least, method by method: look, change workloads, or change the cluster. */
const ofCore: Readonly<Record<keyof typeof pb.CoreRPC.method, Role>> = {
  info: 'read',
  watchServiceStatus: 'read',
  listNetworks: 'read',
  connectNetwork: 'operate',
  disconnectNetwork: 'operate',
  addPod: 'admin',
  removePod: 'admin',
  getPod: 'read',
  listPods: 'read',
  getPodResource: 'read',
  getNodeResource: 'operate', // it may repair
  addNode: 'admin',
  removeNode: 'admin',
  listPodNodes: 'read',
  getNode: 'read',
  getNodeEngineInfo: 'read',
  setNode: 'admin',
  getNodeStatus: 'read',
  setNodeStatus: 'operate',
  nodeStatusStream: 'read',
  getWorkloadsStatus: 'read',
  setWorkloadsStatus: 'operate',
  workloadStatusStream: 'read',
  calculateCapacity: 'read',
  getWorkload: 'read',
  getWorkloads: 'read',
  listWorkloads: 'read',
  listNodeWorkloads: 'read',
  copy: 'operate', // out of a workload: what it keeps may be secret
  send: 'operate',
  sendLargeFile: 'operate',
  buildImage: 'operate',
  cacheImage: 'operate',
  removeImage: 'operate',
  listImage: 'read',
  createWorkload: 'operate',
  replaceWorkload: 'operate',
  removeWorkload: 'operate',
  dissociateWorkload: 'operate',
  controlWorkload: 'operate',
  executeWorkload: 'operate',
  reallocResource: 'operate',
  logStream: 'read',
  runAndWait: 'operate',
  rawEngine: 'admin',
};

export const ofEru: Readonly<Record<keyof typeof eru.Eru.method, Access>> = {
  deploy: 'operate',
  plan: 'read',
  remove: 'operate',
  control: 'operate',
  dissociate: 'operate',
  replace: 'operate',
  realloc: 'operate',
  listOperations: 'read',
  getOperation: 'read',
  watchOperations: 'read',
  watch: 'read',
  checkNode: 'operate', // it may repair
  askNetwork: 'operate', // the same
  listWorkloads: 'read',
  reportWorkloads: 'operate',
  exec: 'operate',
  run: 'operate',
  attach: 'operate',
  copyIn: 'operate',
  copyOut: 'operate', // what a workload keeps may be secret
  createToken: 'admin',
  listTokens: 'admin',
  removeToken: 'admin',
  createNodeToken: 'admin',
  joinNode: 'join',
  renewCertificate: 'node',
  dumpStore: 'admin',
};

const ofServices: Readonly<Record<string, Readonly<Record<string, Access>>>> = {
  'pb.CoreRPC': ofCore,
  'eru.v1.Eru': ofEru,
};

/** Health and reflection tell nothing that a stranger may not know, but they are asked for a credential like all others. */
export function roleFor({ parent, localName }: CallContext['method']): Access {
  return ofServices[parent.typeName]?.[localName] ?? 'read';
}

/**
 * All that the machine of a node needs of core, with the field of the request that must name the node itself; null where
 * there is none.
 */
export const ofNodes: Readonly<Record<string, string | null>> = {
  'pb.CoreRPC.Info': null,
  'pb.CoreRPC.WatchServiceStatus': null,
  'pb.CoreRPC.GetNode': 'nodename',
  'pb.CoreRPC.SetNodeStatus': 'nodename',
  'eru.v1.Eru.ReportWorkloads': 'node',
  'eru.v1.Eru.RenewCertificate': null,
  'grpc.health.v1.Health.Check': null,
  'grpc.health.v1.Health.Watch': null,
};

export function methodName({ parent, name }: CallContext['method']): string {
  return `${parent.typeName}.${name}`;
}

export function permits(access: Access, method: CallContext['method']): boolean {
  if (access === 'node') return Object.hasOwn(ofNodes, methodName(method));
  const wanted = roleFor(method);
  if (access === 'join' || wanted === 'join' || wanted === 'node') return access === wanted;
  return mayDo(access, wanted);
}
