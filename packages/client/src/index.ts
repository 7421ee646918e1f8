export { parseAddresses } from './addresses.ts';
export * from './core.ts';
export { findCore, type Wanted } from './find-core.ts';
export { watchCores } from './discovery.ts';
export { watchObjects, type WatchObjectsEvent } from './watch-objects.ts';
export { endpointFile, readEndpoint, removeEndpoint, writeEndpoint } from './endpoint-file.ts';
export type { Endpoint } from './endpoint-file.ts';
