import { EruError, type Clock } from '@eru/kit';
import type { ExternalKinds } from '@eru/core';
import type { Engine } from '@eru/engines';
import type { Store } from '@eru/store';

/**
 * What happens at a chosen await: the process is gone, the call fails before or after its effect, the whole process stands still for a
 * minute and then goes on, as if nothing had happened, or it has no way to the store for several lives of its lease.
 */
export type Fate = 'crash' | 'error' | 'sleep' | 'cut';

const sleepMs = 60_000;
const cutMs = 45_000;

/** One await of a core on the outside: a call of the store or of an engine, before or after its effect. */
export interface AwaitPoint {
  call: string;
  phase: 'before' | 'after';
}

/**
 * A process that can be killed at any await. All its store, engine and clock calls go through here; when it is dead none of
 * them ever answers, as after SIGKILL, while store and machines live on.
 */
export class Mortal {
  readonly points: AwaitPoint[] = [];
  /** Decides what happens at the n-th await (from 0); absent = life goes on. */
  fate: (index: number, point: AwaitPoint) => Fate | undefined = () => undefined;
  /** Told of each call when it takes effect; `late`: it was on its way when the process fell asleep. */
  onEffect: (call: string, args: readonly unknown[], late: boolean) => void = () => {};
  #counting = false;
  #dead = false;
  #asleep: Promise<void> | undefined;
  #sleeps = 0;
  #clock: Clock | undefined;
  readonly #onDeath: (() => void)[] = [];
  /** While it is cut off from the store: resolves when it is not any more. */
  #healed: Promise<void> | undefined;
  #heal = (): void => {};
  /** Watches that were opened in an earlier one are broken. */
  #generation = 0;

  get dead(): boolean {
    return this.#dead;
  }

  /** Awaits are counted, and fates asked, from now on. */
  count(): void {
    this.#counting = true;
  }

  die(): void {
    if (this.#dead) return;
    this.#dead = true;
    for (const run of this.#onDeath) run();
  }

  /** From now on the store is silent for this core: calls fail, and watches hear nothing. */
  cut(): void {
    this.#healed ??= new Promise((resolve) => {
      this.#heal = resolve;
    });
  }

  /** Watches of the store end with an error, at the latest when they should tell something. */
  breakWatches(): void {
    this.#generation += 1;
  }

  heal(): void {
    this.#healed = undefined;
    this.#heal();
  }

  /** Resolves when it dies. */
  death(): Promise<void> {
    return this.#dead ? Promise.resolve() : new Promise((resolve) => this.#onDeath.push(resolve));
  }

  async at(call: string, phase: 'before' | 'after'): Promise<void> {
    await this.#asleep;
    if (this.#dead) return never();
    this.#checkWay(call, phase);
    if (!this.#counting) return;
    const point = { call, phase };
    const fate = this.fate(this.points.length, point);
    this.points.push(point);
    if (fate === 'crash') {
      this.die();
      return never();
    }
    if (fate === 'sleep') return this.#sleep();
    if (fate === 'cut') {
      this.cut();
      this.#clock?.timer(cutMs, () => this.heal());
      this.#checkWay(call, phase);
    }
    if (fate === 'error') throw new EruError('unavailable', `simulated: ${call} failed ${phase} its effect`);
  }

  store(store: Store): Store {
    const watch: Store['watch'] = (options) => this.#stream(store.watch(options), true);
    return this.#wrap(store, 'store', { watch });
  }

  engine(engine: Engine): Engine {
    const streams = Object.fromEntries(
      (['events', 'logs', 'copyFrom', 'imagePull', 'imagePush', 'imageBuild'] as const).map((verb) => [
        verb,
        (...args: never[]) => this.#stream((engine[verb] as (...args: never[]) => AsyncIterable<unknown>)(...args)),
      ]),
    );
    return this.#wrap(engine, 'engine', streams);
  }

  kinds(kinds: ExternalKinds): ExternalKinds {
    return this.#wrap(kinds, 'kinds', {});
  }

  /** Timers of the dead do not fire, those of a sleeper when it wakes up. */
  clock(clock: Clock): Clock {
    this.#clock = clock;
    const fire = (run: () => void): void => {
      if (this.#asleep !== undefined) void this.#asleep.then(() => fire(run));
      else if (!this.#dead) run();
    };
    return {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      timer: (ms, run) => clock.timer(ms, () => fire(run)),
      sleep: async (ms, signal) => {
        await clock.sleep(ms, signal);
        await this.#asleep;
        if (this.#dead) await never();
      },
    };
  }

  #checkWay(call: string, phase: AwaitPoint['phase']): void {
    if (this.#healed !== undefined && call.startsWith('store.'))
      throw new EruError('unavailable', `simulated: no way to the store, ${phase} ${call}`);
  }

  #sleep(): Promise<void> {
    this.#sleeps += 1;
    this.#asleep = this.#clock?.sleep(sleepMs).then(() => {
      this.#asleep = undefined;
    });
    return this.#asleep ?? Promise.resolve();
  }

  #wrap<T extends object>(target: T, kind: string, replaced: Record<string, unknown>): T {
    return new Proxy(target, {
      get: (object, name) => {
        if (name in replaced) return replaced[name as string];
        const value: unknown = Reflect.get(object, name);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]): Promise<unknown> => {
          const call = `${kind}.${String(name)}`;
          const sleeps = this.#sleeps;
          await this.at(call, 'before');
          this.onEffect(call, args, this.#sleeps !== sleeps);
          const result: unknown = await Reflect.apply(value, object, args);
          await this.at(call, 'after');
          return result;
        };
      },
    });
  }

  #cutOff(ofStore: boolean): Promise<void> | undefined {
    return ofStore ? this.#healed : undefined;
  }

  async *#stream<T>(source: AsyncIterable<T>, ofStore = false): AsyncGenerator<T> {
    const generation = this.#generation;
    for await (const item of source) {
      await this.#asleep;
      if (this.#dead) await never();
      for (let cut = this.#cutOff(ofStore); cut !== undefined; cut = this.#cutOff(ofStore)) await cut;
      if (ofStore && generation !== this.#generation)
        throw new EruError('unavailable', 'simulated: the watch of the store broke');
      yield item;
    }
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}
