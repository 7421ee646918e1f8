import path from 'node:path';

import type { Engine, WorkloadState } from '@eru/engines';
import type { Clock, Logger, Random } from '@eru/kit';
import { EruError } from '@eru/kit';

import { untilAborted } from '../until-aborted.ts';
import { Cursors } from './cursors.ts';
import { LogFollower } from './follower.ts';
import type { LaneFigures } from './lane.ts';
import { Lane } from './lane.ts';
import type { LineHead } from './line.ts';
import { headOf } from './line.ts';
import { openTarget } from './open-target.ts';
import { Spool } from './spool.ts';
import type { Target } from './target.ts';
import { targetOf } from './target-choice.ts';

export interface ForwardingSettings {
  /** `tcp://`, `udp://`, `journal://`, `__discard__`. Each workload has one of them; the next ones stand in for it. */
  forwards: readonly string[];
  /** Every line also into the agent's own log. */
  stdout?: boolean;
  /** Bytes held in memory for each target; default 4 MiB. */
  queueBytes?: number;
  /** Bytes held on disk for each target; default 0: none. */
  spoolBytes?: number;
}

export interface ForwardingOptions extends ForwardingSettings {
  engine: Engine;
  /** Where cursors and spools are; without it they last as long as the process. */
  folder?: string;
  clock: Clock;
  random: Random;
  logger: Logger;
}

export interface TargetFigures extends LaneFigures {
  url: string;
  up: boolean;
  queuedBytes: number;
  spooledBytes: number;
}

const defaultQueueBytes = 4 * 1024 * 1024;

/** Sends the logs of the node's workloads to where they are wanted. */
export class Forwarding {
  readonly #options: ForwardingOptions;
  readonly #cursors: Cursors;
  readonly #targets: readonly Target[];
  readonly #lanes: readonly Lane[];
  readonly #following = new Map<string, { follower: LogFollower; done: Promise<void> }>();
  readonly #nameless = new Set<string>();
  readonly #life = new AbortController();
  readonly #connections = new AbortController();
  #running: Promise<unknown> = Promise.resolve();
  #pod = '';

  private constructor(
    options: ForwardingOptions,
    cursors: Cursors,
    targets: readonly Target[],
    lanes: readonly Lane[],
  ) {
    this.#options = options;
    this.#cursors = cursors;
    this.#targets = targets;
    this.#lanes = lanes;
  }

  /** @throws EruError `invalid` for a target that is none */
  static async open(options: ForwardingOptions): Promise<Forwarding> {
    const { clock, random, logger, folder, stdout = false, spoolBytes = 0 } = options;
    const wanted = options.forwards.length === 0 && stdout ? ['__discard__'] : options.forwards;
    const targets = wanted.map((url) => openTarget(url, { clock, random }));
    const cursors = await Cursors.open(folder, clock, logger);
    const lanes: Lane[] = [];
    for (const [index] of targets.entries()) {
      const spooled = folder !== undefined && spoolBytes > 0;
      lanes.push(
        new Lane({
          targets: [...targets.slice(index), ...targets.slice(0, index)],
          queueBytes: options.queueBytes ?? defaultQueueBytes,
          spool: spooled ? await Spool.open(path.join(folder, `log-spool-${index}`), spoolBytes) : undefined,
          cursors,
          clock,
          logger,
        }),
      );
    }
    const forwarding = new Forwarding(options, cursors, targets, lanes);
    forwarding.#start();
    return forwarding;
  }

  #start(): void {
    const { clock, logger } = this.#options;
    const changed = (): void => {
      for (const lane of this.#lanes) lane.changed();
    };
    const connections = this.#targets.map((target) =>
      untilAborted(target.run(this.#connections.signal, changed), this.#connections.signal),
    );
    const { signal } = this.#life;
    const loops = [
      ...this.#lanes.map((lane) => untilAborted(lane.run(signal), signal)),
      untilAborted(this.#cursors.run(clock, logger, signal), signal),
    ];
    this.#running = Promise.all(loops)
      .finally(() => this.#connections.abort())
      .then(() => Promise.all(connections));
  }

  /** This workload is ours, and this is how it is. */
  seen(state: WorkloadState): void {
    if (this.#lanes.length === 0 || this.#life.signal.aborted) return;
    const known = this.#following.get(state.id);
    if (known !== undefined) return known.follower.seen(state, this.#pod);
    const lane = this.#lanes[targetOf(state.id, this.#lanes.length)];
    const head = headOf(state, this.#pod);
    if (lane !== undefined && head !== undefined) return this.#follow(state, head, lane);
    if (this.#nameless.has(state.id)) return;
    this.#nameless.add(state.id);
    this.#options.logger.warn(
      { id: state.id, name: state.name },
      'its name is not app_entrypoint_ident; its log is not forwarded',
    );
  }

  /** The pod of the node, once it is known. */
  inPod(pod: string): void {
    this.#pod = pod;
  }

  /** All workloads of ours that there are. */
  listed(ids: ReadonlySet<string>): void {
    this.#cursors.keepOnly(new Set([...ids, ...this.#following.keys()]));
  }

  figures(): TargetFigures[] {
    return this.#lanes.map(({ url, up, queuedBytes, spooledBytes, figures }) => ({
      url,
      up,
      queuedBytes,
      spooledBytes,
      ...figures,
    }));
  }

  /** What is not delivered stays where it is, and is sent by the next agent. */
  async close(): Promise<void> {
    this.#life.abort();
    await Promise.all([...this.#following.values()].map(({ done }) => done));
    await this.#running;
    await this.#cursors.save().catch((error: unknown) => {
      this.#options.logger.warn({ err: EruError.from(error) }, 'how far logs are forwarded could not be saved');
    });
  }

  #follow({ id, createdAtMs }: WorkloadState, head: LineHead, lane: Lane): void {
    const { engine, clock, random, logger, stdout: toOwnLog = false } = this.#options;
    const cursor = this.#cursors.of(id);
    const whole = cursor.seq === 0 && createdAtMs >= cursor.atMs;
    const shared = { clock, random, logger };
    const follower = new LogFollower(id, head, { engine, lane, cursor, whole, toOwnLog, ...shared });
    const { signal } = this.#life;
    const done = untilAborted(follower.run(signal), signal).then(() => {
      this.#following.delete(id);
      // Its last lines may still wait for delivery; the next listing forgets the cursor.
    });
    this.#following.set(id, { follower, done });
  }
}
