import type { Engine } from '@eru/engines';
import { connectEngine } from '@eru/engines';
import { silentLogger } from '@eru/kit';
import path from 'node:path';

import { describeAsRoot } from '../../../tests/parts.ts';
import type { EngineTraits } from '../../engines/src/contract/contract.suite.ts';
import { engineContract } from '../../engines/src/contract/contract.suite.ts';
import { serveRuntime } from './daemon.ts';
import { TestNode, type Ways } from './node.suite.ts';

/** What processes do not have: typed refusals, which the suite tries (docs/engines.md). */
const unsupported: NonNullable<EngineTraits['unsupported']> = [
  'networkConnect',
  'networkDisconnect',
  'networkList',
  'askNetwork',
  'imageList',
  'imagePull',
  'imagePush',
  'imageRemove',
  'imagePrune',
  'imageBuild',
  'imageBuildPrune',
  'imageCommit',
  'raw',
];

/** A plain process has no files of its own. */
const unsupportedPlain = [...unsupported, 'copyTo', 'copyFrom'] as const;

interface Made {
  engine: Engine;
  close: () => Promise<void>;
}

function inProcess(way: Ways): () => Promise<Made> {
  return async () => {
    const node = await TestNode.create(way);
    return { engine: await node.engine(), close: () => node.close() };
  };
}

/** The daemon's wire is the same, however processes are made: one way is enough. */
function overSocket(way: Ways): () => Promise<Made> {
  return async () => {
    const node = await TestNode.create(way);
    const engine = await node.engine();
    const serving = await serveRuntime({ socket: path.join(node.folder, 'sock'), engine, logger: silentLogger });
    const close = async (): Promise<void> => {
      await serving.close();
      await node.close();
    };
    return { engine: connectEngine({ address: serving.address }), close };
  };
}

describeAsRoot(['runc', 'conmon'], 'process engine', () => {
  engineContract('conmon and runc, through the daemon', overSocket('conmon'), { unsupported });
  engineContract('shell and runc', inProcess('shell'), { unsupported });
  engineContract('plain processes', inProcess('plain'), { unsupported: unsupportedPlain });
});
