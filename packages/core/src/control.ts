import { assertNever, EruError, isEruError } from '@eru/kit';
import type { Engine } from '@eru/engines';

import { claim, endWrites, mark, type Claimed } from './claim.ts';
import { effect, type Context } from './context.ts';
import { runHooks, type HookOutcome } from './hooks.ts';
import type { Tenure } from './membership.ts';
import type { ControlOperation, ControlType } from './records.ts';

export interface ControlRequest {
  id: string;
  type: ControlType;
  /** Hook failures are ignored; a stop kills at once. */
  force: boolean;
}

/** Starts, stops, restarts, suspends or resumes one workload; resolves with the hooks' output. */
export async function controlWorkload(
  context: Context,
  tenure: Tenure,
  request: ControlRequest,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const operation: ControlOperation = {
    v: 1,
    kind: 'control',
    id: context.random.letters(16),
    owner: tenure.owner,
    createdAtMs: context.clock.now(),
    key: '',
    state: 'running',
    workload: request.id,
    type: request.type,
    force: request.force,
    hooks: 'pending',
  };
  context.running.add(operation.id);
  try {
    return await finishControl(context, tenure, await claim(context, tenure, request.id, operation, signal));
  } finally {
    context.running.delete(operation.id);
  }
}

/** Applies it (again, after a takeover: the engine's verbs can be repeated, hooks cannot) and ends the claim. */
export async function finishControl(
  context: Context,
  tenure: Tenure,
  begun: Claimed<ControlOperation>,
): Promise<Uint8Array> {
  const run = new Control(context, tenure, begun);
  try {
    return await run.apply();
  } finally {
    if (!tenure.signal.aborted) {
      const { workload } = begun.operation;
      await context.committer.commit(tenure, { own: endWrites(run.claimed, workload) }).catch((error: unknown) => {
        if (!isEruError(error, 'fenced')) throw error;
      });
    }
  }
}

class Control {
  readonly #context: Context;
  readonly #tenure: Tenure;
  readonly #output: Uint8Array[] = [];
  claimed: Claimed<ControlOperation>;

  constructor(context: Context, tenure: Tenure, claimed: Claimed<ControlOperation>) {
    this.#context = context;
    this.#tenure = tenure;
    this.claimed = claimed;
  }

  async apply(): Promise<Uint8Array> {
    const { operation } = this.claimed;
    switch (operation.type) {
      case 'start':
        await this.#start();
        break;
      case 'stop':
        await this.#stop();
        break;
      case 'restart':
        if (operation.state === 'running') {
          await this.#stop();
          this.claimed = await mark(this.#context, this.#tenure, this.claimed, {
            ...this.claimed.operation,
            state: 'starting',
            hooks: 'pending',
          });
        }
        await this.#start();
        break;
      case 'suspend':
        await this.#effect((engine, id, options) => engine.suspend(id, options));
        break;
      case 'resume':
        await this.#effect((engine, id, options) => engine.resume(id, options));
        break;
      case 'limits':
        await this.#effect(async (engine, id, options) => {
          await engine.update(id, this.claimed.record.value.engineParams, options);
        });
        break;
      default:
        assertNever(operation.type);
    }
    return Buffer.concat(this.#output);
  }

  async #start(): Promise<void> {
    await this.#effect((engine, id, options) => engine.start(id, options));
    await this.#hooks(this.claimed.record.value.hook?.afterStart ?? []);
  }

  async #stop(): Promise<void> {
    const { force } = this.claimed.operation;
    await this.#hooks(this.claimed.record.value.hook?.beforeStop ?? []);
    await this.#effect((engine, id, options) => engine.stop(id, { ...options, ...(force && { graceMs: 0 }) }));
  }

  async #effect(
    run: (engine: Engine, id: string, options: { revision: number; signal: AbortSignal }) => Promise<void>,
  ): Promise<void> {
    const { id, node } = this.claimed.record.value;
    const options = { revision: this.claimed.right, signal: this.#tenure.signal };
    await effect(this.#context, this.#tenure, () => run(this.#context.engineOf(node), id, options));
  }

  async #hooks(commands: readonly string[]): Promise<void> {
    if (commands.length === 0 || this.claimed.operation.hooks === 'begun') return;
    this.claimed = await mark(this.#context, this.#tenure, this.claimed, { ...this.claimed.operation, hooks: 'begun' });
    const { value: record } = this.claimed.record;
    const mandatory = record.hook?.force === true && !this.claimed.operation.force;
    const outcome: HookOutcome = await effect(this.#context, this.#tenure, () =>
      runHooks(this.#context.engineOf(record.node), record.id, commands, {
        mandatory,
        env: record.env,
        user: record.user,
        signal: this.#tenure.signal,
      }),
    );
    this.#output.push(outcome.output);
    if (outcome.failure !== undefined)
      throw new EruError('failed', outcome.failure.message, { cause: outcome.failure });
  }
}
