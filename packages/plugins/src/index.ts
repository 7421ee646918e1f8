/**
 * Resource kinds outside of Eru. A folder of executables that speak the original's binary plugin protocol
 * (reference/scheduling.md section 2) becomes one set of kinds, `ExternalKinds`. Their usage lives with them, so every change
 * is: write down what is meant, call, confirm. In core, under the node's external claim
 * (docs/protocol.md, "External resource kinds"):
 *
 * - **Set-up**: `openExternalKinds`, and an `externalKind(name)` of the scheduler for each of `names`, which carries their
 *   answers into plans as data. A plugin that is new to the cluster: `adopt` on every node.
 * - **Deploy**: `ask` all candidates, plan with the answer as `asked`. Reserve with slots that wait; per node `allot` its
 *   instances, which fills in the external part of each, and `book(…, 'add')`; then confirm. When `book` throws, all kinds
 *   are as before, but for those that its error names as `unsure`: `settle` them.
 * - **Realloc**: `realloc` answers `asked` for the scheduler; `book` the old amounts 'subtract', the new ones 'add'.
 * - **Remove**: once the object is gone `book(…, 'subtract')`, then delete.
 * - **After a crash**: `settle` with the resources of all records and slots of the node. It is exact and may be repeated.
 *   The reconciler compares with `info`.
 *
 * Questions take the caller's signal. Changes do not: each ends by itself within the call timeout, for a writer that is
 * killed leaves its effect unknown. `plugin.ts` is the protocol's client, command by command.
 *
 * The other side of the protocol is `serve`: one call of a process that is a kind. The kind is one of the scheduler's
 * (`servedKind`, also for a `defineKind`), or decided by a program in any language (`rulesKind`); `NodeFiles` remembers.
 */
export {
  ExternalKinds,
  openExternalKinds,
  type ExternalAnswers,
  type ExternalKindsOptions,
  type ExternalNode,
  type ExternalRealloc,
  type PluginSettings,
} from './external-kinds.ts';
export { defineKind, type Amount, type AmountsDefinition } from './serve/amounts-kind.ts';
export { NodeFiles } from './serve/node-files.ts';
export { servedKind, type Planner, type ServedKind } from './serve/planner.ts';
export { rulesKind } from './serve/rules.ts';
export { serve } from './serve/serve.ts';
