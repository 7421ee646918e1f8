import { eru, mount, type MountedService } from '@eru/contract';

import type { Edge } from '../edge.ts';
import { eruChangeMethods } from './changes.ts';
import { eruControlMethods } from './control.ts';
import { eruDeployMethods } from './deploy.ts';
import { eruExecMethods } from './exec.ts';
import { eruRunMethods } from './run.ts';
import { eruFileMethods } from './files.ts';
import { eruJoinMethods } from './join.ts';
import { eruTokenMethods } from './tokens.ts';
import { eruNodeMethods } from './nodes.ts';
import { eruWatchMethods } from './watch.ts';
import { eruOperationMethods } from './operations.ts';
import { eruWorkloadMethods } from './workloads.ts';

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
