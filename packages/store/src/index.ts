export * from './store.ts';
export type { EmbeddedStoreOptions, MemoryStoreOptions } from './embedded.ts';
export { openEmbeddedStore, openMemoryStore } from './embedded.ts';
