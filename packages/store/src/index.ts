export * from './store.ts';
export type { EmbeddedStoreOptions, MemoryStoreOptions } from './embedded.ts';
export { openEmbeddedStore, openMemoryStore } from './embedded.ts';
export type { EtcdStoreOptions } from './etcd.ts';
export { openEtcdStore } from './etcd.ts';
export type { HeldLease, KeepLeaseOptions } from './lease-keeper.ts';
export { keepLease } from './lease-keeper.ts';
