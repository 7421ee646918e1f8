export { createProcessEngine, type ProcessEngineOptions } from './engine.ts';
export { serveRuntime } from './daemon.ts';
