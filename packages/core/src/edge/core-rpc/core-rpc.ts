import { mount, pb, type MountedService } from '@eru/contract';

import { buildMethods } from './build-methods.ts';
import { deployMethods } from './deploy-methods.ts';
import { changeMethods } from './change-methods.ts';
import type { Edge } from '../edge.ts';
import { execMethods } from './exec-methods.ts';
import { fileMethods } from './file-methods.ts';
import { imageMethods } from './image-methods.ts';
import { infoMethods } from './info-methods.ts';
import { lambdaMethods } from './lambda-methods.ts';
import { logMethods } from './log-methods.ts';
import { networkMethods } from './network-methods.ts';
import { nodeMethods } from './node-methods.ts';
import { podMethods } from './pod-methods.ts';
import { rawMethods } from './raw-methods.ts';
import { statusMethods } from './status-methods.ts';
import { workloadMethods } from './workload-methods.ts';

/** The original's contract. */
export function coreRpc(edge: Edge): MountedService {
  return mount(pb.CoreRPC, {
    ...infoMethods(edge),
    ...podMethods(edge),
    ...nodeMethods(edge),
    ...statusMethods(edge),
    ...workloadMethods(edge),
    ...deployMethods(edge),
    ...changeMethods(edge),
    ...lambdaMethods(edge),
    ...execMethods(edge),
    ...logMethods(edge),
    ...fileMethods(edge),
    ...networkMethods(edge),
    ...imageMethods(edge),
    ...buildMethods(edge),
    ...rawMethods(edge),
  });
}
