export * from './cni/cache.ts';
export * from './cni/cni.ts';
export * from './cni/config.ts';
export * from './cni/error.ts';
export * from './cni/result.ts';
export { supportedVersions } from './cni/version.ts';
