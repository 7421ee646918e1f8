import { pb, statusOf, type Status } from '@eru/contract';
import { EruError, type ErrorCode } from '@eru/kit';

import { noIds } from '../core-rpc/workload-methods.ts';

type Method = keyof typeof pb.CoreRPC.method;

/** The application code of each method (reference/core-rpc.md section 2); without those that never send one. */
const codes: Partial<Record<Method, number>> = {
  watchServiceStatus: 1001,
  listNetworks: 1011,
  connectNetwork: 1012,
  disconnectNetwork: 1013,
  addPod: 1021,
  removePod: 1022,
  getPod: 1023,
  listPods: 1024,
  getPodResource: 1025,
  addNode: 1031,
  removeNode: 1032,
  listPodNodes: 1033,
  getNode: 1034,
  setNode: 1035,
  setNodeStatus: 1036,
  getNodeResource: 1037,
  getNodeStatus: 1038,
  getNodeEngineInfo: 1038,
  calculateCapacity: 1041,
  getWorkload: 1051,
  getWorkloads: 1052,
  listWorkloads: 1053,
  listNodeWorkloads: 1054,
  getWorkloadsStatus: 1055,
  setWorkloadsStatus: 1056,
  rawEngine: 1057,
  copy: 1061,
  buildImage: 1071,
  cacheImage: 1072,
  removeImage: 1073,
  createWorkload: 1074,
  replaceWorkload: 1075,
  // The code of replace: a slip of the original that its clients print.
  removeWorkload: 1075,
  dissociateWorkload: 1077,
  executeWorkload: 1079,
  reallocResource: 10710,
  runAndWait: 10712,
  listImage: 10713,
};

/** Where an empty list of ids is a plain error. */
const plainWithoutIds: ReadonlySet<string> = new Set(['removeWorkload', 'dissociateWorkload', 'controlWorkload']);

/** What has nothing to do with the method is told by gRPC's own codes. */
const plainlyTold: ReadonlySet<ErrorCode> = new Set(['canceled', 'forbidden', 'throttled']);

/** How a failed call is told. The new services have gRPC's own codes, the original's contract has one for each method. */
export function toStatus(
  thrown: unknown,
  method: { name: string; localName: string; parent: { typeName: string } },
): Status {
  const error = EruError.from(thrown);
  if (method.parent.typeName !== pb.CoreRPC.typeName) return statusOf(error);
  // Its plain errors arrive as UNKNOWN.
  if (error.code === 'unauthenticated') return { code: 2, message: error.message };
  if (error.message === noIds && plainWithoutIds.has(method.localName)) return { code: 2, message: error.message };
  const code = codes[method.localName as Method];
  if (code === undefined || plainlyTold.has(error.code)) return statusOf(error);
  return { code, message: error.message };
}
