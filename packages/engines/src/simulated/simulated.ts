import { EruError, parseSize } from '@eru/kit';
import type { Clock, Random } from '@eru/kit';

import type { EngineVerb } from '../call-limit.ts';
import type { Engine, WorkloadState } from '../engine.ts';
import { SimulatedCall } from './simulated-call.ts';
import type { FaultHook, Weather } from './simulated-call.ts';
import { SimulatedEngine } from './simulated-engine.ts';
import { SimulatedHost } from './simulated-host.ts';
import type { Program } from './simulated-process.ts';
import { defaultProgram } from './simulated-programs.ts';

export interface SimulatedMachineOptions {
  name: string;
  clock: Clock;
  random: Random;
  /** Default 8. */
  cpus?: number;
  /** Default 16 GiB. */
  memoryBytes?: number;
  /** Of one call, there and back, uniform; default none. */
  latency?: { minMs: number; maxMs: number };
  faults?: FaultHook;
  /** What commands do; the default is `defaultProgram`. */
  program?: Program;
  /** Verbs that this machine lacks; default none. */
  unsupported?: readonly EngineVerb[];
}

/**
 * A machine in memory with every verb of the engine contract. It outlives its clients: each `engine()` is one client's
 * connection. All waiting goes through the clock given, all chance through the random source given, so that a run on a
 * virtual clock replays. Its own methods act at once, without latency and faults: they are the world, not a client.
 */
export class SimulatedMachine {
  readonly name: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #host: SimulatedHost;
  readonly #weather: Weather;

  constructor(options: SimulatedMachineOptions) {
    const { name, clock, random, cpus = 8, memoryBytes = 16 * 1024 ** 3, program = defaultProgram } = options;
    this.name = name;
    this.#clock = clock;
    this.#random = random;
    this.#host = new SimulatedHost({ name, clock, random, cpus, memoryBytes, program });
    this.#weather = {
      faults: options.faults,
      latency: options.latency ?? { minMs: 0, maxMs: 0 },
      unsupported: new Set(options.unsupported),
    };
  }

  /** Applies to calls from now on, of all clients. */
  set faults(hook: FaultHook | undefined) {
    this.#weather.faults = hook;
  }

  /** Which engines it tells that it has (`EngineInfo.type`); it runs whatever comes all the same. */
  set type(type: string) {
    this.#host.type = type;
  }

  engine(): Engine {
    const closed = new AbortController();
    const call = new SimulatedCall(this.#clock, this.#random, this.#weather, closed.signal);
    return new SimulatedEngine(this.#host, call, this.#clock, () =>
      closed.abort(new EruError('canceled', 'the engine is closed')),
    );
  }

  /** What is there now, in name order. */
  workloads(): WorkloadState[] {
    return this.#host.workloads().map((workload) => workload.state());
  }

  /** The main process ends by itself. */
  exit(id: string, code: number, options: { oomKilled?: boolean } = {}): Promise<void> {
    return this.#host.get(id).exit(code, options.oomKilled);
  }

  /** The main process prints. */
  print(id: string, text: string, stream: 'stdout' | 'stderr' = 'stdout'): Promise<void> {
    return this.#host.get(id).print(text, stream);
  }

  /** The object goes away behind everybody's back. */
  vanish(id: string): Promise<void> {
    return this.#host.remove(id, true);
  }
}

/** The simulated machines of one process, by name; `mock://name[?cpus=8&memory=16G]` makes one where there is none. */
export class SimulatedMachines {
  readonly #machines = new Map<string, SimulatedMachine>();
  readonly #defaults: Omit<SimulatedMachineOptions, 'name'>;

  constructor(defaults: Omit<SimulatedMachineOptions, 'name'>) {
    this.#defaults = defaults;
  }

  /** The parameters count when the machine is made. Throws `invalid`. */
  resolve(endpoint: string): SimulatedMachine {
    const match = /^mock:\/\/([\w.-]+)(?:\?(.*))?$/.exec(endpoint);
    const wrong = (why: string): EruError =>
      new EruError('invalid', `endpoint invalid ${endpoint}: ${why}; write mock://name?cpus=8&memory=16G`);
    if (match?.[1] === undefined) throw wrong('no name');
    const [, name, query = ''] = match;
    const present = this.#machines.get(name);
    if (present !== undefined) return present;
    const options: SimulatedMachineOptions = { ...this.#defaults, name };
    for (const [key, value] of new URLSearchParams(query)) {
      if (key === 'cpus' && /^[1-9]\d{0,3}$/.test(value)) options.cpus = Number(value);
      else if (key === 'memory' && parseSize(value, 'memory') > 0) options.memoryBytes = parseSize(value, 'memory');
      else throw wrong(`${key}=${value}`);
    }
    const machine = new SimulatedMachine(options);
    this.#machines.set(name, machine);
    return machine;
  }
}
