// Nothing heavy behind these: `eru --version` loads this file, and commands load what they need.
export type { Context } from './context.ts';
export { exitCodes } from './context.ts';
export type { ProgramOptions } from './program.ts';
export type { Action, Registry } from './registry.ts';
export { runCli } from './program.ts';
export { collect } from './registry.ts';
/** For commands elsewhere that ask core, and show things the same way; loaded when one runs. */
export const loadConnection = async () => import('./connection.ts');
export const loadOutput = async () => ({ ...(await import('./output.ts')), ...(await import('./show/table.ts')) });
