export { createProcessEngine, type ProcessEngineOptions } from './engine.ts';
export { serveRuntime } from './daemon.ts';
export { serveRemote, type RemoteTls } from './remote.ts';
export type { ProcessNetworkDaemon } from './networks/process-networks.ts';
