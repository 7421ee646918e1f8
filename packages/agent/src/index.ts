export type { Agent, AgentOptions } from './agent.ts';
export { startAgent } from './agent.ts';
export type { CoreCalls } from './core-calls.ts';
