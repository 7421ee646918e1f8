import type { Clock, Random } from '@eru/kit';

/** What became of some lines; what is in neither count was delivered as far as can be known here. */
export interface Sent {
  /** Nobody knows whether they arrived: the connection broke while they were on their way. */
  inDoubt: number;
  /** The target cannot take them: too long, or refused. */
  refused: number;
}

/** `new` until it was up or down for the first time. */
export type TargetState = 'new' | 'up' | 'down';

/** Where lines go. It looks after its own connection for as long as `run` runs. */
export interface Target {
  readonly url: string;
  readonly state: TargetState;
  /** Until aborted. `onChange` is told when the state changes. */
  run(signal: AbortSignal, onChange: () => void): Promise<void>;
  /** Only while it is up. Resolves when all have left this process, or the connection has broken. */
  send(lines: readonly Buffer[]): Promise<Sent>;
  /** Gives up the connection; what is on its way is in doubt. */
  reset(): void;
}

export interface TargetContext {
  clock: Clock;
  random: Random;
}

export const allSent: Sent = { inDoubt: 0, refused: 0 };
