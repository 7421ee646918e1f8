import { type ForwardingSettings } from '@eru/agent';
export interface Storm {
  workloads: number;
  /** Printed by each, as fast as it goes. */
  linesEach: number;
  /** Of one line, with its newline. */
  lineBytes: number;
  /** From the first line on the receiver reads nothing for so long. */
  pauseMs: number;
  settings?: Partial<ForwardingSettings>;
  /** Files of each workload's log. */
  log?: {
    maxBytes: number;
    files: number;
  };
  /** Of the whole. */
  limitMs: number;
}
export interface StormResult {
  /** Until each had printed all. */
  printedMs: number;
  /** Until everything that still could had arrived. */
  arrivedMs: number;
  received: number;
  /** Lines that came twice or before an earlier one. */
  disorder: number;
  /** Of each workload: what is missing at its receiver. */
  missing: number;
  /** What the engine's log had dropped before it was read. */
  lostBytes: number;
  peakQueuedBytes: number;
  /** Growth of this process's memory, which is daemon, agent and receiver. */
  peakMemoryBytes: number;
}
/** Workloads that print as fast as they can, through the process engine, its socket and the agent, to one receiver that stops for a while. */
export declare function logStorm(storm: Storm): Promise<StormResult>;
//# sourceMappingURL=log-storm.d.ts.map
