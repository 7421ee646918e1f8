import { caughtUp } from '../catch-up.ts';
import type { Context } from '../context.ts';
import type { ExternalNode } from './kinds.ts';
import type { Tenure } from '../state/membership.ts';
import type { Finding } from '../upkeep/findings.ts';

/** Rounds of the reconciler between two looks at what external kinds have booked on a node: a look costs processes. */
const roundsBetween = 20;

/** Compares what external kinds have booked with what records and slots hold. */
export class ExternalCheck {
  readonly #context: Context;
  readonly #tenure: Tenure;
  /** Rounds until the next look, by node. */
  readonly #wait = new Map<string, number>();

  constructor(context: Context, tenure: Tenure) {
    this.#context = context;
    this.#tenure = tenure;
  }

  /** Findings of this round; a node of which something was found is looked at again in the next one. */
  async look(node: string): Promise<Finding[]> {
    if (this.#context.external === undefined) return [];
    const wait = this.#wait.get(node) ?? 0;
    this.#wait.set(node, wait > 0 ? wait - 1 : roundsBetween);
    if (wait > 0) return [];
    const findings = await lookOutside(this.#context, node, this.#tenure.signal);
    if (findings.length > 0) this.#wait.set(node, 0);
    return findings;
  }
}

/** How what external kinds have booked on a node differs; nothing while somebody changes it. */
export async function lookOutside(context: Context, node: string, signal: AbortSignal): Promise<Finding[]> {
  const { external, view, logger } = context;
  if (external === undefined || view.external.get(node) !== undefined) return [];
  const workloads = view.booked(node).get(node) ?? [];
  const found = await external.kinds.info(node, workloads, signal).catch((err: unknown) => {
    logger.warn({ err, node }, 'external resource kinds cannot be compared now');
  });
  const differences = found?.differences ?? [];
  if (differences.length === 0) return [];
  return [{ kind: 'external', node, object: node, recorded: differences.join('; '), found: '' }];
}

/** Makes what external kinds have booked what records and slots hold. */
export async function settleOutside(context: Context, tenure: Tenure, node: string): Promise<boolean> {
  const { external } = context;
  await external?.claims.hold(tenure, [node], async (holds) => {
    const hold = holds.get(node);
    if (hold !== undefined) await external.claims.settle(tenure, hold);
  });
  return true;
}

/**
 * What external kinds have on a node, and how that differs from what its records and slots hold; with `fix` they are set right.
 * Nobody changes it meanwhile. Undefined without external kinds.
 */
export async function checkExternal(
  context: Context,
  tenure: Tenure,
  node: string,
  fix: boolean,
): Promise<ExternalNode | undefined> {
  const { external, view } = context;
  if (external === undefined) return undefined;
  return external.claims.hold(tenure, [node], async (holds) => {
    await caughtUp(context, holds.get(node)?.revision ?? 0, tenure.signal);
    const workloads = view.booked(node).get(node) ?? [];
    return fix ? external.kinds.fix(node, workloads) : external.kinds.info(node, workloads, tenure.signal);
  });
}
