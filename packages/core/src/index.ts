export { startCore, type Core, type CoreOptions } from './core.ts';
export { controlWorkload } from './control.ts';
export { createWorkloads, planRequest, type CreateEvent, type CreateRequest } from './create.ts';
export { removeWorkload } from './remove.ts';
export { checkAcknowledged, checkObjects, checkStore, snapshot } from './invariants.ts';
export { Reconciler } from './reconciler.ts';
export { coreServices, type CoreServicesOptions } from './edge/services.ts';
export type { Credential } from './edge/authentication.ts';
export type { Engines } from './nodes.ts';
