import { EruError, Queue } from '@eru/kit';
import type { Clock } from '@eru/kit';

import type { EngineParams, ExecSpec, LogEntry, RunState, Session, WorkloadSpec, WorkloadState } from '../engine.ts';
import { limitsOf } from '../limits.ts';
import { Ring } from '../ring.ts';
import type { TarFile } from '../tar.ts';
import type { Program } from './simulated-process.ts';
import { RunningProcess, sessionOf, signalNumberOf } from './simulated-process.ts';

export type WorkloadChange = 'started' | 'exited' | 'paused' | 'resumed' | 'updated';

interface WorkloadOptions {
  id: string;
  spec: WorkloadSpec;
  ports: Readonly<Record<string, number>>;
  clock: Clock;
  program: Program;
  nextPid: () => number;
  onChange: (change: WorkloadChange) => void;
}

type Chunk = { stream: 'stdout' | 'stderr'; data: Uint8Array };

const keptLines = 10_000;
/** Chunks that wait for a reader before the writer has to wait. */
const pipeChunks = 64;

/** One object of a simulated machine: what it was told, and the state that follows. No latency, no faults. */
export class SimulatedWorkload {
  readonly id: string;
  readonly spec: WorkloadSpec;
  readonly ports: Readonly<Record<string, number>>;
  readonly log = new Ring<LogEntry>(keptLines);
  /** Network name -> address. */
  readonly addresses = new Map<string, string>();
  /** By path. */
  readonly files = new Map<string, TarFile>();
  readonly #options: WorkloadOptions;
  readonly #createdAtMs: number;
  readonly #attached = new Set<Queue<Chunk>>();
  readonly #execs = new Set<RunningProcess>();
  #engineParams: EngineParams;
  #main: RunningProcess | undefined;
  #stopped: Promise<void> = Promise.resolve();
  #state: RunState = 'created';
  #pid = 0;
  #startedAtMs = 0;
  #revision = 0;
  #cpuMs = 0;
  #exit = { exitCode: 0, oomKilled: false, finishedAtMs: 0, error: '' };
  #oomNext = false;

  constructor(options: WorkloadOptions) {
    this.id = options.id;
    this.spec = options.spec;
    this.ports = options.ports;
    this.#options = options;
    this.#engineParams = options.spec.engineParams;
    this.#createdAtMs = options.clock.now();
  }

  get running(): boolean {
    return this.#main !== undefined;
  }

  state(): WorkloadState {
    const { name, labels, image, user, pids } = this.spec;
    const limits = { ...limitsOf(this.#engineParams), ...(pids > 0 && { pids }) };
    return {
      id: this.id,
      name,
      labels,
      image,
      user,
      state: this.#state,
      pid: this.#pid,
      createdAtMs: this.#createdAtMs,
      startedAtMs: this.#startedAtMs,
      restarts: 0,
      limits: { requested: limits, effective: limits },
      networks: this.running ? Object.fromEntries(this.addresses) : {},
      ports: this.ports,
      revision: this.#revision,
      ...this.#exit,
    };
  }

  /** Refuses an older revision than the object has seen, and remembers this one. */
  fence(revision: number | undefined): void {
    if (revision === undefined) return;
    if (revision < this.#revision) {
      const seen = `${this.spec.name} has seen revision ${this.#revision}`;
      throw new EruError('fenced', `revision ${revision} came too late: ${seen}`);
    }
    this.#revision = revision;
  }

  start(): void {
    if (this.#state === 'paused') throw this.#forbids('it is paused; resume it');
    if (this.#main !== undefined) return;
    const { clock, program, nextPid, onChange } = this.#options;
    this.#pid = nextPid();
    this.#startedAtMs = clock.now();
    this.#state = 'running';
    const main = new RunningProcess({
      role: 'main',
      command: this.spec.command,
      env: this.#env(),
      stdin: this.spec.stdin,
      size: undefined,
      tty: this.spec.stdin,
      program,
      output: (stream, data) => this.#take(stream, data),
    });
    this.#main = main;
    onChange('started');
    this.#stopped = main.ended.then((code) => this.#onExit(main, code));
  }

  /** Ends the main process as a crash would. */
  exit(code: number, oomKilled = false): Promise<void> {
    this.#oomNext = oomKilled;
    this.#main?.exit(code);
    return this.#stopped;
  }

  /** TERM, then KILL after the grace time. */
  async stop(graceMs: number): Promise<void> {
    const main = this.#main;
    if (main === undefined) return;
    if (graceMs > 0) {
      main.signal(this.spec.stopSignal === '' ? 'SIGTERM' : this.spec.stopSignal);
      const ended = new AbortController();
      void main.ended.then(() => ended.abort());
      await this.#options.clock.sleep(graceMs, ended.signal).catch(() => {}); // It ended in time.
    }
    main.signal('SIGKILL');
    await this.#stopped;
  }

  kill(signal: string): void {
    signalNumberOf(signal);
    if (this.#main === undefined) throw this.#forbids('it does not run');
    this.#main.signal(signal);
  }

  suspend(): void {
    if (this.#state === 'paused') return;
    if (this.#main === undefined) throw this.#forbids('it does not run');
    this.#state = 'paused';
    this.#options.onChange('paused');
  }

  resume(): void {
    if (this.#state === 'running') return;
    if (this.#state !== 'paused') throw this.#forbids('it is not paused');
    this.#state = 'running';
    this.#options.onChange('resumed');
  }

  update(engineParams: EngineParams): void {
    this.#engineParams = engineParams;
    this.#options.onChange('updated');
  }

  /** Resolves when it does not run. */
  stopped(): Promise<void> {
    return this.#stopped;
  }

  /** Appends to its log as if the main process had printed it. */
  async print(text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    await this.#take(stream, Buffer.from(text));
  }

  exec(spec: ExecSpec): Session {
    if (this.#state !== 'running') throw this.#forbids('it does not run');
    const output = new Queue<Chunk>(pipeChunks);
    const process = new RunningProcess({
      role: 'exec',
      command: spec.command,
      env: [...this.#env(), ...spec.env],
      stdin: spec.stdin,
      size: spec.size,
      tty: spec.tty,
      program: this.#options.program,
      output: async (stream, data) => void (await output.put({ stream, data })),
    });
    this.#execs.add(process);
    const exit = process.ended.then((code) => {
      this.#execs.delete(process);
      output.end();
      return code;
    });
    const close = async (): Promise<void> => {
      process.signal('SIGKILL');
      await exit;
    };
    return sessionOf({ process, output, stdin: spec.stdin, exit, close });
  }

  attach(): Session {
    const main = this.#main;
    if (main === undefined) throw this.#forbids('it does not run');
    const output = new Queue<Chunk>(pipeChunks);
    this.#attached.add(output);
    output.onEnd(() => this.#attached.delete(output));
    const exit = new Promise<number>((resolve, reject) => {
      output.onEnd(() => reject(new EruError('canceled', 'detached')));
      void this.#stopped.then(() => {
        resolve(this.#exit.exitCode);
        output.end();
      });
    });
    exit.catch(() => {}); // Whoever asks is told.
    return sessionOf({ process: main, output, stdin: this.spec.stdin, exit, close: async () => output.end() });
  }

  /** Processor seconds used, by a plausible rule: half of what it may use. */
  cpuSeconds(): number {
    const runMs = this.#main === undefined ? 0 : this.#options.clock.now() - this.#startedAtMs;
    return ((this.#cpuMs + runMs) / 1000) * 0.5 * (this.state().limits.effective.cpu ?? 1);
  }

  pids(): number {
    return this.#main === undefined ? 0 : 1 + this.#execs.size;
  }

  #onExit(main: RunningProcess, code: number): void {
    if (this.#main !== main) return;
    const { clock, onChange } = this.#options;
    this.#main = undefined;
    this.#pid = 0;
    this.#state = 'exited';
    this.#cpuMs += clock.now() - this.#startedAtMs;
    this.#exit = { exitCode: code, oomKilled: this.#oomNext, finishedAtMs: clock.now(), error: '' };
    this.#oomNext = false;
    for (const process of this.#execs) process.signal('SIGKILL');
    onChange('exited');
  }

  async #take(stream: 'stdout' | 'stderr', data: Uint8Array): Promise<void> {
    const atMs = this.#options.clock.now();
    for (const line of Buffer.from(data)
      .toString('latin1')
      .match(/[^\n]*\n|[^\n]+$/g) ?? [])
      this.log.push({ stream, atMs, data: Buffer.from(line, 'latin1') });
    for (const output of this.#attached) await output.put({ stream, data });
  }

  #env(): string[] {
    const ports = Object.entries(this.ports).map(([name, port]) => `${portVariable(name)}=${port}`);
    return [...this.spec.env, ...ports];
  }

  #forbids(why: string): EruError {
    return new EruError('precondition', `${this.spec.name}: ${why}`);
  }
}

/** The variable in which a workload finds its published port. */
function portVariable(name: string): string {
  return `ERU_PORT_${name.toUpperCase().replaceAll('-', '_')}`;
}
