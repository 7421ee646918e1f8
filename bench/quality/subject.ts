import type { Machine, Wish } from './shapes.ts';

/** What a planner gave to one instance, as the judge sees it. */
export interface Holding {
  readonly node: string;
  readonly wish: Wish;
  /** Core -> pieces; empty unless bound. */
  readonly cores: ReadonlyMap<string, number>;
  /** Where its memory lies, '' when across or without NUMA. */
  readonly numaNode: string;
  /** Volume path -> bytes. */
  readonly volumes: ReadonlyMap<string, number>;
}

export interface Placement {
  readonly wish: Wish;
  readonly count: number;
  readonly strategy: 'AUTO' | 'GLOBAL' | 'DRAINED';
  readonly app: number;
  /** Node names. The same array is recognised again. */
  readonly candidates: readonly string[];
}

/** A planner with a fleet of its own, on which it books what it plans. */
export interface Subject {
  /** All or nothing: undefined when they do not fit. Holdings are the caller's keys for later. */
  place(placement: Placement): Holding[] | undefined;
  release(holding: Holding, app: number): void;
  /** New amounts in place; undefined when they do not fit, and then nothing has changed. */
  resize(holding: Holding, wish: Wish): Holding | undefined;
}

/** Makes a planner over these nodes, all free. */
export type SubjectMaker = (machine: Machine, names: readonly string[], maxShare: number) => Subject;
