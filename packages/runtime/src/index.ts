export { createProcessEngine, type ProcessEngineOptions } from './engine.ts';
export { serveRuntime } from './daemon.ts';
export { serveRemote, type RemoteTls } from './remote.ts';
export type { NetworkDaemon } from './networks/workload-networks.ts';
export { withNetworks } from './networks/container-networks.ts';
