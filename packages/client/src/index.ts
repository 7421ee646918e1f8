export { parseAddresses } from './addresses.ts';
export * from './core.ts';
export { watchCores } from './discovery.ts';
export { readEndpoint, removeEndpoint, writeEndpoint } from './endpoint-file.ts';
export type { Endpoint } from './endpoint-file.ts';
