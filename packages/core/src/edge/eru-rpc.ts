import { eru, mount, type MountedService } from '@eru/contract';

import type { Edge } from './edge.ts';
import { eruChangeMethods } from './eru-changes.ts';
import { eruControlMethods } from './eru-control.ts';
import { eruDeployMethods } from './eru-deploy.ts';
import { eruExecMethods } from './eru-exec.ts';
import { eruRunMethods } from './eru-run.ts';
import { eruFileMethods } from './eru-files.ts';
import { eruJoinMethods } from './eru-join.ts';
import { eruTokenMethods } from './eru-tokens.ts';
import { eruNodeMethods } from './eru-nodes.ts';
import { eruWatchMethods } from './eru-watch.ts';
import { eruOperationMethods } from './eru-operations.ts';
import { eruWorkloadMethods } from './eru-workloads.ts';

/** What the original's contract cannot say. */
export function eruRpc(edge: Edge): MountedService {
  return mount(eru.Eru, {
    ...eruDeployMethods(edge),
    ...eruChangeMethods(edge),
    ...eruControlMethods(edge),
    ...eruOperationMethods(edge),
    ...eruWatchMethods(edge),
    ...eruNodeMethods(edge),
    ...eruExecMethods(edge),
    ...eruRunMethods(edge),
    ...eruFileMethods(edge),
    ...eruTokenMethods(edge),
    ...eruJoinMethods(edge),
    ...eruWorkloadMethods(edge),
  });
}
