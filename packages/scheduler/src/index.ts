// What is planned, by what, and how; a good order to read it in, with plan.ts after scheduler.ts.
export * from './model.ts';
export * from './kind.ts';
export { createScheduler, type Scheduler, type SchedulerOptions } from './scheduler.ts';
export { Fleet } from './fleet/fleet.ts';
export { Counts } from './fleet/counts.ts';
export type { Steps } from './steps.ts';
export type { Diff } from './bookkeeping.ts';
export { explain } from './explain.ts';

export { builtinKinds } from './builtin.ts';
export { externalKind, type ExternalAnswer } from './external/kind.ts';
export { withAllotments } from './external/allotments.ts';

// Without a cluster.
export { readNodes } from './standalone/nodes.ts';
export { readRequest, type StandaloneRequest } from './standalone/request.ts';
export { answerDocument, choiceDocument, planStandalone, type StandaloneAnswer } from './standalone/plan.ts';
