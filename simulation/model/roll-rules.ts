import type { Table } from '@eru/core';

/** A rolling replace for the model: the code's tables, of the roll and of each of its replaces. */
export interface Rolled {
  name: string;
  table: Table;
  replace: Table;
  items: number;
  window: number;
  /** How many deaths and lost leases: with two there is a takeover of a takeover. More of them take too long to look at. */
  troubles: number;
  /** The request has files, which only the core that it reached knows. */
  files?: true;
}

/** The protocol itself, where it can be broken on purpose. */
export interface RollRules {
  /** Transactions compare the writer's tenure. */
  fence: boolean;
  /** No more than the window are under way. */
  window: boolean;
}
