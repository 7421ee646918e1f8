export { explain } from './explain.ts';
export { Fleet } from './fleet.ts';
export * from './model.ts';
export * from './kind.ts';
export { externalKind, type ExternalAnswer } from './external/kind.ts';
export { withAllotments } from './external/allotments.ts';
export { builtinKinds } from './builtin.ts';
export { createScheduler, type Scheduler, type SchedulerOptions } from './scheduler.ts';
export type { Diff } from './bookkeeping.ts';
