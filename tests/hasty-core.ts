import { client, connect, eru, pb, serve, type Client } from '@eru/contract';
import { coreServices, startCore } from '@eru/core';
import { connectDocker, connectEngine, type Engine } from '@eru/engines';
import { Closer, silentLogger, systemClock, systemRandom } from '@eru/kit';
import { serveRuntime } from '@eru/runtime';
import { builtinKinds, createScheduler } from '@eru/scheduler';
import { openMemoryStore } from '@eru/store';
import path from 'node:path';

/** The one node of a hasty core, in the pod `default`. */
export const box = 'box';

/**
 * A core and a node daemon of this process before a dockerd; hurried, core gives the engine half a second for each call,
 * so that bad weather of a minute is one of seconds.
 */
export interface HastyCore {
  /** Label `eru.coreid` of its containers. */
  cluster: string;
  eru: Client<typeof eru.Eru>;
  /** As a hurried core has it. */
  hasty: Engine;
  hurry(on: boolean): void;
  close(): Promise<void>;
}

export async function startHastyCore(docker: string, folder: string): Promise<HastyCore> {
  const closer = new Closer();
  const base = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const dockerEngine = connectDocker(docker);
  closer.add('docker', () => dockerEngine.close());
  const socket = path.join(folder, 'hasty.sock');
  const runtime = await serveRuntime({ socket, engine: dockerEngine, logger: silentLogger });
  closer.add('runtime', () => runtime.close());
  const address = `unix://${socket}`;
  const [calm, hasty] = [connectEngine({ address }), connectEngine({ address, limitMs: 500 })];
  closer.add('engines', () => Promise.all([calm.close(), hasty.close()]));
  let hurried = false;
  const engines = { get: () => (hurried ? hasty : calm), drop: () => {} };
  const store = await openMemoryStore();
  closer.add('store', () => store.close());
  const core = await startCore({
    ...base,
    store,
    engines,
    scheduler: createScheduler({ kinds: builtinKinds() }),
    address: '',
    version: 'test',
    reconciler: { intervalMs: 200 },
  });
  closer.add('core', () => core.close());
  const closing = new AbortController();
  const options = { identifier: core.cluster, version: 'test', engines, closing: closing.signal };
  const serving = await serve({
    listen: '127.0.0.1:0',
    ...coreServices(core.context, core.membership, options),
  });
  closer.add('port', () => serving.close());
  closer.add('streams', () => closing.abort());
  const channel = connect(serving.address);
  closer.add('channel', () => channel.close());
  const rpc = client(pb.CoreRPC, channel);
  await rpc.addPod({ name: 'default' });
  await rpc.addNode({ podname: 'default', nodename: box, endpoint: `eru+unix://${socket}`, test: true });
  return {
    cluster: core.cluster,
    eru: client(eru.Eru, channel),
    hasty,
    hurry: (on) => {
      hurried = on;
    },
    close: () => closer.close(),
  };
}
