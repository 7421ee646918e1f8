import { isEruError } from '@eru/kit';
import type { ErrorCode } from '@eru/kit';
import { expect } from 'vitest';

import { bareSpec } from './bare-spec.ts';
import type { EngineVerb } from '../call-limit.ts';
import type {
  Engine,
  EngineParams,
  ExecSpec,
  Limits,
  LogEntry,
  Session,
  WorkloadSpec,
  WorkloadState,
} from '../engine.ts';
import { labelNames } from '../engine.ts';

/** Commands that the suite needs. The long-running ones print `ready` once they react to signals as they should. */
export interface Programs {
  /** Prints these lines and `ready`; ends with 143 on TERM. */
  serves(...lines: string[]): string[];
  /** Prints `ready`; ignores TERM. */
  stubborn: string[];
  exits(code: number): string[];
  /** `out` on stdout, `err` on stderr, exit code 3. */
  speaks: string[];
  /** Is not there. */
  absent: string[];
  /** Its input, until the end of it. */
  cat: string[];
  /** `rows cols` of its terminal for each line of input. */
  size: string[];
  /** The value of a variable. */
  env(name: string): string[];
  /** The numbers from 1 to this, one a line. */
  counts(lines: number): string[];
}

const serveScript = `trap 'exit 143' TERM; for l in "$@"; do echo "$l"; done; while :; do sleep 1 & wait $!; done`;

/** For engines that run real commands. */
export const shellPrograms: Programs = {
  serves: (...lines) => ['/bin/sh', '-c', serveScript, 'sh', ...lines, 'ready'],
  stubborn: ['/bin/sh', '-c', `trap '' TERM; echo ready; while :; do sleep 1; done`],
  exits: (code) => ['/bin/sh', '-c', `exit ${code}`],
  speaks: ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'],
  absent: ['/no/such-program'],
  cat: ['/bin/cat'],
  size: ['/bin/sh', '-c', 'while read _; do stty size; done'],
  env: (name) => ['/bin/sh', '-c', `echo "$${name}"`],
  counts: (lines) => ['/bin/sh', '-c', `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo $i; done`],
};

export const simulatedPrograms: Programs = {
  serves: (...lines) => ['serve', ...lines],
  stubborn: ['stubborn'],
  exits: (code) => ['exit', String(code)],
  speaks: ['speak'],
  absent: ['absent'],
  cat: ['cat'],
  size: ['size'],
  env: (name) => ['env', name],
  counts: (lines) => ['count', String(lines)],
};

/** What is known of an engine before it runs. */
export interface EngineTraits {
  /** Verbs that it must refuse as `unsupported`; the suite tries all others. */
  unsupported?: readonly EngineVerb[];
  /** Limits that it enforces here and must read back; default cpu, memoryBytes and pids. */
  enforces?: readonly (keyof Limits)[];
  /** Laid over the suite's workloads, for what this engine needs (a root folder, an image). */
  spec?: Partial<WorkloadSpec>;
  /** A bridge network on which it gives wanted addresses; default its first. */
  network?: string;
  /** Whether a wanted address is its workload's also while that does not run; default true. */
  keepsAddresses?: boolean;
  /** Before the names of images that are pulled and pushed: the registry that has them, with a slash. */
  registry?: string;
  /** Default `shellPrograms`. */
  programs?: Programs;
}

export const limited: EngineParams = { cpumem: { cpu: 0.5, memory: 64 * 1024 ** 2 } };
export const widened: EngineParams = { cpumem: { cpu: 0.25, memory: 96 * 1024 ** 2 } };

/** One engine under test, with the words that the tests are written in. */
export class Bench {
  readonly engine: Engine;
  readonly programs: Programs;
  readonly traits: EngineTraits;
  #count = 0;

  constructor(engine: Engine, traits: EngineTraits) {
    this.engine = engine;
    this.traits = traits;
    this.programs = traits.programs ?? shellPrograms;
  }

  spec(command: readonly string[], more: Partial<WorkloadSpec> = {}): WorkloadSpec {
    this.#count += 1;
    const name = `contract_suite_${String(this.#count).padStart(4, '0')}`;
    return bareSpec(name, command, {
      networks: { host: '' },
      ...this.traits.spec,
      ...more,
      labels: { [labelNames.eru]: '1', suite: 'contract', [labelNames.operation]: name, ...more.labels },
    });
  }

  created(command: readonly string[], more?: Partial<WorkloadSpec>): Promise<WorkloadState> {
    return this.engine.create(this.spec(command, more));
  }

  /** Created and started; a long-running program has said that it is ready. */
  async running(command: readonly string[] = this.programs.serves(), more?: Partial<WorkloadSpec>): Promise<string> {
    const { id } = await this.created(command, more);
    await this.engine.start(id);
    await this.ready(id);
    return id;
  }

  /** Until the last run's `ready` is in the log. */
  async ready(id: string): Promise<void> {
    // Not since its start, which a daemon notes a moment after the process has begun to speak.
    const { finishedAtMs } = await this.engine.inspect(id);
    await this.lines(id, (line) => line === 'ready', finishedAtMs);
  }

  /** The log's lines, followed up to the one that is looked for. */
  async lines(id: string, last: (line: string) => boolean, sinceMs = 0): Promise<string[]> {
    const found: string[] = [];
    for await (const entry of this.engine.logs(id, { follow: true, sinceMs, signal: AbortSignal.timeout(20_000) })) {
      found.push(lineOf(entry));
      if (last(lineOf(entry))) break;
    }
    return found;
  }

  exec(id: string, command: readonly string[], more: Partial<ExecSpec> = {}): Promise<Session> {
    const spec = { command, env: [], dir: '', user: '', stdin: false, tty: false, ...more };
    return this.engine.exec(id, spec, { signal: AbortSignal.timeout(60_000) });
  }

  async clear(): Promise<void> {
    for (const { id } of await this.engine.list({ labels: { suite: 'contract' } }))
      await this.engine.remove(id, { force: true });
  }
}

export function lineOf(entry: LogEntry): string {
  return Buffer.from(entry.data).toString().trimEnd();
}

/** All that a session says, per stream. */
export async function said(session: Session): Promise<{ stdout: string; stderr: string; code: number }> {
  const output = { stdout: '', stderr: '' };
  for await (const { stream, data } of session.output) output[stream] += Buffer.from(data).toString();
  return { ...output, code: await session.exit };
}

export async function refused(call: Promise<unknown>, ...codes: ErrorCode[]): Promise<void> {
  const error: unknown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(isEruError(error) ? error.code : error, `expected ${codes.join(' or ')}, got ${String(error)}`).toBeOneOf(
    codes,
  );
}

/** The end of a stream: what it yields, or its refusal. */
export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
