export * from './engine.ts';
export { limitsOf } from './limits.ts';
export { SimulatedMachine, SimulatedMachines } from './simulated.ts';
export type { SimulatedMachineOptions } from './simulated.ts';
export type { FaultHook } from './simulated-call.ts';
export type { Program, SimulatedProcess } from './simulated-process.ts';
export { callLimitMs, waitFor } from './call-limit.ts';
