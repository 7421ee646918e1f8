import { invalid, isJsonObject, type Json, type JsonObject } from '@eru/kit';

/**
 * What runs workloads on a node. One contract for docker, process, systemd, virtual machine and simulated engines; the
 * suite in `contract.suite.ts` says it in code.
 *
 * Errors (EruError): `unsupported` (this engine lacks the verb, or cannot enforce what is asked: told at create, never
 * silently), `not_found` (no such workload), `exists` (the name belongs to somebody else), `precondition` (its state
 * forbids it), `fenced` (an older revision than the object has seen), `busy` (a port or name that is taken), `invalid`,
 * `unavailable` and `timeout` (the effect may still come), `failed` (tried, could not).
 *
 * A deadline ends the caller's waiting, not the effect.
 */
export interface Engine {
  info(options?: CallOptions): Promise<EngineInfo>;
  ping(options?: CallOptions): Promise<void>;

  /**
   * Create or find by name: an object with this name and the same `eru.operation` label is returned as it is; with another
   * label it is refused with `exists`. Nothing runs yet. Fails without leaving anything behind.
   */
  create(spec: WorkloadSpec, options?: FencedOptions): Promise<WorkloadState>;
  /** Starting what runs is no error; what is paused is refused with `precondition`: resume it. */
  start(id: string, options?: FencedOptions): Promise<void>;
  /** TERM (or the workload's stop signal), after `graceMs` KILL; `graceMs` 0 kills at once. Resolves when nothing of it runs. It stays stopped over daemon restarts and reboots. */
  stop(id: string, options?: FencedOptions & { graceMs?: number }): Promise<void>;
  /** Sends a signal (`SIGHUP`) to the main process; `precondition` when it does not run. Its restart policy goes on to apply. */
  kill(id: string, signal: string, options?: CallOptions): Promise<void>;
  /** Only what runs can be paused (else `precondition`); pausing what is paused is no error. */
  suspend(id: string, options?: FencedOptions): Promise<void>;
  /** Resuming what runs is no error. */
  resume(id: string, options?: FencedOptions): Promise<void>;
  /** Resolves when it is gone without a trace; removing what is not there is no error. Without `force` a running workload is refused with `precondition`. */
  remove(id: string, options?: FencedOptions & { force?: boolean }): Promise<void>;

  inspect(id: string, options?: CallOptions): Promise<WorkloadState>;
  /** All workloads that carry all these labels, in name order. */
  list(options?: CallOptions & { labels?: Readonly<Record<string, string>> }): Promise<WorkloadState[]>;
  /** What happens from now on, or from `after` (a cursor of an earlier event) on. The first item, `ready`, tells that the stream stands. `compacted` when the cursor is too old: list again. */
  events(options?: CallOptions & { after?: string }): AsyncIterable<EngineEvent>;
  /** Resolves when the workload is not running and will not be restarted by its policy. */
  wait(id: string, options?: CallOptions): Promise<ExitState>;

  logs(id: string, options?: LogOptions): AsyncIterable<LogEntry>;
  /** Resolves once the command runs. The signal ends the session too; the time limit is for the opening. */
  exec(id: string, spec: ExecSpec, options?: CallOptions): Promise<Session>;
  /** The main process's own streams. */
  attach(id: string, options?: CallOptions): Promise<Session>;
  /** A tar stream unpacked at `path`; works on a created, not started workload. */
  copyTo(id: string, path: string, tar: AsyncIterable<Uint8Array>, options?: CallOptions): Promise<void>;
  /** A tar stream of the file or folder at `path`. */
  copyFrom(id: string, path: string, options?: CallOptions): AsyncIterable<Uint8Array>;

  /** Live change to these limits: the whole new set, not a difference. Answers the state with the limits read back. */
  update(id: string, engineParams: EngineParams, options?: FencedOptions): Promise<WorkloadState>;
  stats(id: string, options?: CallOptions): Promise<WorkloadStats>;

  networkConnect(
    id: string,
    network: string,
    options?: CallOptions & { ipv4?: string; ipv6?: string },
  ): Promise<string[]>;
  networkDisconnect(id: string, network: string, options?: CallOptions & { force?: boolean }): Promise<void>;
  networkList(options?: CallOptions & { drivers?: readonly string[] }): Promise<EngineNetwork[]>;
  /** Asks the network daemon of the machine; answers what its own socket does. */
  askNetwork(verb: NetworkQuestion, request: JsonObject, options?: CallOptions): Promise<Json>;

  imageList(filter: string, options?: CallOptions): Promise<EngineImage[]>;
  imagePull(reference: string, options?: ImageOptions): AsyncIterable<JsonObject>;
  imagePush(reference: string, options?: ImageOptions): AsyncIterable<JsonObject>;
  /** What was untagged and deleted. `prune`: its parents too that nothing names any more. */
  imageRemove(reference: string, options?: CallOptions & { force?: boolean; prune?: boolean }): Promise<string[]>;
  imagePrune(options?: CallOptions): Promise<void>;
  /** `context` is a tar stream with a `Dockerfile`. A build that fails says so in its last object (`error`, `errorDetail`), as Docker does. */
  imageBuild(build: ImageBuild, context: AsyncIterable<Uint8Array>, options?: ImageOptions): AsyncIterable<JsonObject>;
  /** What builds have left to be faster the next time. */
  imageBuildPrune(options?: CallOptions): Promise<void>;
  /** The files of a workload as an image, which goes on running; answers its id. */
  imageCommit(id: string, references: readonly string[], options?: CallOptions): Promise<string>;

  /** An operation that only this kind of engine knows. */
  raw(id: string, operation: string, params: Uint8Array, options?: CallOptions): Promise<Uint8Array>;

  close(): Promise<void>;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** How long to wait for the answer. */
  timeoutMs?: number;
}

export interface ImageOptions extends CallOptions {
  /** Registry host (`docker.io`, `registry.example:5000`) -> who we are there. */
  registries?: Registries;
}

export type Registries = Readonly<Record<string, { username: string; password: string }>>;

export interface FencedOptions extends CallOptions {
  /**
   * The store revision that gave the right to this effect (docs/protocol.md, "Late calls"). An engine of ours refuses one that is
   * less than the highest the object has seen. Absent: not fenced (people at the socket).
   */
  revision?: number;
}

/** Kind -> what that resource kind tells the engine (`cpu`, `cpu_map`, `memory`, …, reference/scheduling.md section 1.4). */
export type EngineParams = Readonly<Record<string, JsonObject>>;

export interface EngineInfo {
  /** `process`, `docker`, `simulated`, … */
  type: string;
  /** Stable identity of the machine. */
  id: string;
  cpus: number;
  memoryBytes: number;
  storageBytes: number;
  resources: Readonly<Record<string, JsonObject>>;
  /** What this machine was found to offer, for people and for tests: `runc`, `cgroup v1: memory, cpu`, … */
  offers: string[];
  /** What is missing and what follows, one sentence each. Empty when everything can be enforced. */
  missing: string[];
}

export interface WorkloadSpec {
  /** `app_entrypoint_ident`, unique on the node. */
  name: string;
  labels: Readonly<Record<string, string>>;
  /** Which engine of a node that has several: `docker`, `process`; empty = docker when there is an image, else process. */
  engine: string;
  /** An image reference; empty for a host command or a root folder. */
  image: string;
  /** Where its files come from: the host's own root, seen read-only or through a private overlay, or a folder. Only for processes. */
  root: { type: 'host'; writable: boolean } | { type: 'folder'; path: string; readOnly: boolean };
  command: readonly string[];
  /** `KEY=value` */
  env: readonly string[];
  /** Absolute; empty = the engine's default. */
  dir: string;
  /** `name`, `uid`, `uid:gid`; empty = the engine's default. */
  user: string;
  privileged: boolean;
  mounts: readonly Mount[];
  /** `nofile` -> limits */
  ulimits: Readonly<Record<string, { soft: number; hard: number }>>;
  /** Most processes and threads; 0 = no limit. */
  pids: number;
  restart: RestartPolicy;
  stopSignal: string;
  /**
   * Name of the workload of this node whose place it takes; empty = nobody's. Where both are on a network, and it asks for no other
   * address, that workload's address goes over to it: when it is started and that one is stopped, else when that one is removed. If it
   * is removed first, the address goes back. Engines whose addresses are not kept over a stop know nothing of this.
   */
  succeeds: string;
  /**
   * Network name -> wanted address, or one of each family with a comma (`addresses.ts`; empty = any). `host` is the host's own; `none` an empty namespace; for processes an absolute
   * path is that of a namespace that somebody else has made; no entry = the engine's default.
   */
  networks: Readonly<Record<string, string>>;
  /** Port numbers; or names, each of which asks for a free port on the host's network, kept over restarts, given to the workload as `ERU_PORT_<NAME>`. */
  publish: readonly string[];
  dns: readonly string[];
  extraHosts: readonly string[];
  sysctls: Readonly<Record<string, string>>;
  log: { type: string; config: Readonly<Record<string, string>> };
  /** Keep stdin open and give a terminal. */
  stdin: boolean;
  engineParams: EngineParams;
  /** The JSON that only this kind of engine understands; empty = none. */
  rawArgs: Uint8Array;
}

export interface Mount {
  source: string;
  target: string;
  readOnly: boolean;
}

/** `retries` 0 = no bound; only for `on-failure`. */
export interface RestartPolicy {
  type: 'no' | 'on-failure' | 'always' | 'unless-stopped';
  retries: number;
}

export type RunState = 'created' | 'running' | 'paused' | 'restarting' | 'exited';

export interface WorkloadState extends ExitState {
  id: string;
  name: string;
  labels: Readonly<Record<string, string>>;
  image: string;
  user: string;
  state: RunState;
  /** 0 when nothing runs. */
  pid: number;
  createdAtMs: number;
  /** Of the present or last run; 0 = never ran. */
  startedAtMs: number;
  /** How often its policy has restarted it. */
  restarts: number;
  limits: { requested: Limits; effective: Limits };
  /** Network name -> address, or one of each family with a comma (`addresses.ts`), while it runs. */
  networks: Readonly<Record<string, string>>;
  /** Name of a published port -> the port chosen. Numbers stand for themselves. */
  ports: Readonly<Record<string, number>>;
  /** The highest revision that an effect on it has carried. */
  revision: number;
}

export interface ExitState {
  /** Of the last run that ended; 0 before. 128 + number after a signal. */
  exitCode: number;
  oomKilled: boolean;
  /** 0 = has not ended. */
  finishedAtMs: number;
  /** Why it could not be started or was given up, for people. */
  error: string;
}

/** Absent = not limited (requested) or not enforced (effective). */
export interface Limits {
  /** Cores. */
  cpu?: number;
  memoryBytes?: number;
  pids?: number;
  /** Core numbers in ascending order. */
  cpuset?: readonly number[];
  /** NUMA nodes that memory comes from, in ascending order. */
  memoryNodes?: readonly number[];
  /** By device, in name order. */
  io?: readonly IoLimit[];
}

/** Operations and bytes per second; absent = not limited. */
export interface IoLimit {
  /** `/dev/sda` */
  device: string;
  readIops?: number;
  writeIops?: number;
  readBps?: number;
  writeBps?: number;
  /** What is written through the page cache goes past it: control groups of version 1 bind reads and direct writes only. */
  directOnly?: boolean;
}

export type EngineEvent =
  | { type: 'ready'; cursor: string }
  | {
      type: 'created' | 'started' | 'exited' | 'paused' | 'resumed' | 'updated' | 'removed';
      cursor: string;
      atMs: number;
      id: string;
      name: string;
    };

export interface LogOptions extends CallOptions {
  /** Goes on over stops and restarts, and ends when the workload is removed. */
  follow?: boolean;
  /** Last lines to begin with; absent = all. */
  tail?: number;
  sinceMs?: number;
  untilMs?: number;
}

/** One line with its newline (a last line without one is given as it is). */
export interface LogEntry {
  stream: 'stdout' | 'stderr';
  atMs: number;
  data: Uint8Array;
  /** Bytes of the log ahead of this line that were given up before this reader came to them; absent: none, or not known. */
  lostBytes?: number;
}

export interface ExecSpec {
  command: readonly string[];
  env: readonly string[];
  /** Empty = the workload's own. */
  dir: string;
  /** Empty = the workload's own. */
  user: string;
  stdin: boolean;
  tty: boolean;
  /** First size of the terminal. */
  size?: TerminalSize;
}

export interface TerminalSize {
  rows: number;
  cols: number;
}

/** A running command and its streams. With a terminal everything comes on stdout. */
export interface Session {
  /** Ends when the command has ended and everything is delivered. Not reading it holds the command back, nobody else. */
  output: AsyncIterable<{ stream: 'stdout' | 'stderr'; data: Uint8Array }>;
  /** Resolves when taken; rejects with `precondition` when stdin is closed or was never open. An empty write only asks that. */
  write(data: Uint8Array): Promise<void>;
  closeStdin(): Promise<void>;
  resize(size: TerminalSize): Promise<void>;
  /** Exit code; 128 + number after a signal. Rejects when the session is closed or its connection lost before the end. */
  exit: Promise<number>;
  /** Ends the command (attach: only detaches). */
  close(): Promise<void>;
}

export interface WorkloadStats {
  atMs: number;
  cpuSeconds: number;
  memoryBytes: number;
  pids: number;
  cpuThrottledSeconds: number;
  oomKills: number;
}

export interface EngineNetwork {
  name: string;
  driver: string;
  subnets: string[];
}

/** What may be asked of a network daemon from afar: it looks, or repairs what it would repair by itself. */
export const networkQuestions = ['networks', 'pools', 'reservations', 'diagnose', 'reconcile'] as const;
export type NetworkQuestion = (typeof networkQuestions)[number];

/** @throws EruError `invalid` */
export function networkQuestion(verb: string): NetworkQuestion {
  const known = networkQuestions.find((one) => one === verb);
  if (known === undefined) throw invalid('verb', verb, `write one of ${networkQuestions.join(', ')}`);
  return known;
}

/** What is asked, as JSON; empty = nothing in particular. @throws EruError `invalid` */
export function networkRequest(text: string): JsonObject {
  let value: unknown;
  try {
    value = text === '' ? {} : JSON.parse(text);
  } catch {
    value = undefined;
  }
  if (!isJsonObject(value)) throw invalid('request', text, 'write a JSON object, such as {"owner": "shop"}');
  return value;
}

export interface EngineImage {
  id: string;
  tags: string[];
}

export interface ImageBuild {
  references: readonly string[];
  platform: string;
}

/** Labels that every workload of Eru carries (reference/core-rpc.md section 4.10). */
export const labelNames = {
  eru: 'ERU',
  meta: 'ERU_META',
  node: 'eru.nodename',
  cluster: 'eru.coreid',
  operation: 'eru.operation',
} as const;
