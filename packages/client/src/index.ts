export { parseAddresses } from './addresses.ts';
export type { CoreAddresses } from './addresses.ts';
export * from './core.ts';
export { watchCores } from './discovery.ts';
